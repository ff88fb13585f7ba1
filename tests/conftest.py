"""Small volumes on disk, and a small network trained on them."""

import os

os.environ.setdefault("MPLBACKEND", "agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several: threads that wait for each other's cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import settings

import window_parts
from asem.phantom.cell import make_cell
from asem.workflows.importing import import_volume
from asem.workflows.train import train_model

# The first call of a compiled kernel takes a second; how long a test takes says nothing here.
settings.register_profile("asem", deadline=None)
settings.load_profile("asem")

IN_CI = os.environ.get("CI", "").lower() in ("true", "1")


def pytest_runtest_setup(item):
    """Skip tests of windows where a part that they need is missing."""
    if item.get_closest_marker("gui") and window_parts.missing():
        pytest.skip(window_parts.missing())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return refused((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return refused((yield))


def refused(report):
    """Turn what is skipped into a failure where CI=true."""
    if IN_CI and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        why = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{why} (with CI=true nothing may be skipped)"
    return report


TINY_TRAINING = """
structure = "mito"
voxel_size = [10, 10, 10]
iterations = 6
validate_every = 3
batch = 1
patch = 28
precision = "32"
device = "cpu"
loss = "cross_entropy+dice"

[model]
features = 2
levels = 2
norm = "batch"

[optimizer]
name = "adamw"
learning_rate = 1e-2

[[train]]
raw = "cell.zarr/raw"
labels = "cell.zarr/labels/mito"
roi = ":,:,:48"

[[validation]]
raw = "cell.zarr/raw"
labels = "cell.zarr/labels/mito"
roi = ":,:,48:"
"""


def write_planes(folder: Path, voxels: np.ndarray, *, name: str = "plane_{:03d}.tif") -> Path:
    """Write one TIFF file a plane."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, plane in enumerate(voxels):
        tifffile.imwrite(folder / name.format(number), plane)
    return folder


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def cell(tmp_path_factory):
    """A folder with cell.zarr (raw, labels/mito; 10 nm) and train.toml."""
    folder = tmp_path_factory.mktemp("cell")
    raw, labels = make_cell((40, 48, 72), (10, 10, 10), np.random.default_rng(3))
    tifffile.imwrite(folder / "raw.tif", raw)
    tifffile.imwrite(folder / "labels.tif", labels)
    size = (10.0, 10.0, 10.0)
    import_volume(folder / "raw.tif", folder / "cell.zarr/raw", voxel_size=size)
    import_volume(
        folder / "labels.tif", folder / "cell.zarr/labels/mito", voxel_size=size, kind="labels"
    )
    (folder / "train.toml").write_text(TINY_TRAINING)
    return folder


@pytest.fixture(scope="session")
def run(cell):
    """A finished run of train.toml."""
    train_model(cell / "train.toml", out=cell / "run")
    return cell / "run"
