"""Small volumes on disk, and a small network trained on them.

Fixtures import what they use: the process that only distributes the tests to others loads this too.
"""

import os

os.environ.setdefault("MPLBACKEND", "agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several: threads that wait for each other's cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Idle Dask workers of a whole session would take a tenth of a core.
os.environ.setdefault("DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED", "False")
os.environ.setdefault("DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL", "1s")
os.environ.setdefault("DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL", "10s")

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import settings

from installed import install_wheel

# The first call of a compiled kernel takes a second; how long a test takes says nothing here.
settings.register_profile("asem", deadline=None, max_examples=50)
settings.load_profile("asem")

TINY_TRAINING = """
structure = "mito"
voxel_size = [10, 10, 10]
iterations = 6
validate_every = 3
batch = 1
patch = 24
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
roi = ":24,:,48:"
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
    from asem.phantom.synthetic_cell import make_synthetic_cell
    from asem.workflows.importing import import_volume

    folder = tmp_path_factory.mktemp("cell")
    raw, labels = make_synthetic_cell((40, 48, 72), (10, 10, 10), np.random.default_rng(3))
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
    from asem.workflows.train import train_model

    train_model(cell / "train.toml", out=cell / "run")
    return cell / "run"


@pytest.fixture
def quick_retries(monkeypatch):
    """Failed requests are repeated at once."""
    from asem.volume.formats import stores
    from connections import forget_connections

    forget_connections()
    retries = {"max_retries": 2, "initial_delay": "10ms", "max_delay": "20ms"}
    monkeypatch.setattr(stores, "RETRIES", retries)
    yield
    forget_connections()


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A page in Chromium whose software computes WebGL; it can reach this machine only."""
    import shutil

    if shutil.which("chromium") is None:
        pytest.skip("not installed: chromium; `bash .ci/screen` installs it")
    from chromium import Browser

    with Browser(tmp_path_factory.mktemp("browser"), (800, 600), webgl=True) as opened:
        yield opened


@pytest.fixture(scope="session")
def two_workers():
    """An executor with two Dask workers, which tests share."""
    from asem.blocks.open_executor import open_executor

    with open_executor(workers=2) as executor:
        yield executor


@pytest.fixture(scope="session")
def asem(tmp_path_factory):
    """The command `asem` of a wheel made of this source, beside the packages that are installed."""
    return install_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def demo(asem, tmp_path_factory):
    """What `asem demo` of the wheel leaves, and prints; for tests named after it (see suite.py).

    A quarter of the usual iterations, since the training takes most of the time.
    """
    folder = tmp_path_factory.mktemp("demo") / "demo"
    done = asem("demo", folder, "--iterations", "75")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout
