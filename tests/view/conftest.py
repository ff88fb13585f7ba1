import pytest

from view_cells import write_cell


@pytest.fixture(scope="session")
def known_cell(tmp_path_factory):
    """A cell with one bright cuboid in all its images."""
    return write_cell(tmp_path_factory.mktemp("view") / "cell.zarr")
