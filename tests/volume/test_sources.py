import numpy as np
import pytest
import tifffile

from asem.volume.sources import open_source, open_volume


def test_nothing_there(tmp_path):
    for opened in (open_source, open_volume):
        with pytest.raises(FileNotFoundError, match=r"there is nothing at .*nowhere"):
            opened(tmp_path / "nowhere")


def test_tiff_needs_a_voxel_size(tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", np.zeros((4, 5), np.uint8))
    with pytest.raises(ValueError, match="does not state its voxel size; give --voxel-size"):
        open_source(tmp_path / "p.tif")
    with pytest.raises(ValueError, match="first import it: asem import"):
        open_volume(tmp_path / "p.tif")
    assert open_source(tmp_path, voxel_size=(1.0, 2.0, 3.0)).voxel_size == (1.0, 2.0, 3.0)


def test_an_image_states_its_own_voxel_size(cell):
    raw = cell / "cell.zarr/raw"
    with pytest.raises(
        ValueError, match=r"states voxels of 10,10,10 nm .* but --voxel-size is 1,1,1"
    ):
        open_source(raw, voxel_size=(1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="states its own offset; give none"):
        open_source(raw, offset_nm=(1.0, 1.0, 1.0))
    assert open_source(raw).voxel_size == (10.0, 10.0, 10.0)


def test_an_empty_folder_and_a_text_file(tmp_path):
    with pytest.raises(ValueError, match="holds no TIFF plane"):
        open_source(tmp_path, voxel_size=(1.0, 1.0, 1.0))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match=r"is no OME-NGFF 0.5 image"):
        open_source(tmp_path / "notes.txt", voxel_size=(1.0, 1.0, 1.0))
