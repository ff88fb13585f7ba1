"""The example scripts run as they stand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from asem.phantom.synthetic_cell import make_synthetic_cell
from asem.volume.sources import open_volume

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_a_cell_is_prepared_from_python(tmp_path, workers):
    raw, labels = make_synthetic_cell((20, 30, 40), (10.0,) * 3, np.random.default_rng(0))
    for name, voxels in (("stack", raw), ("mito", labels)):
        (tmp_path / name).mkdir()
        for number, plane in enumerate(voxels):
            tifffile.imwrite(tmp_path / f"{name}/{number}.tif", plane)
    words = [sys.executable, str(EXAMPLES / "prepare_cell.py"), "stack", "mito", "cell.zarr"]
    words += ["--voxel-size", "10", *workers]
    for _ in range(2):  # the second time all is there
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 6
    cell = tmp_path / "cell.zarr"
    for name in ("clahe", "mask", "labels/mito", "exclusion/mito", "instances/mito"):
        volume = open_volume(cell / name)
        assert volume.shape == raw.shape
        assert volume.read(volume.roi).any()
    assert (tmp_path / "cell.csv").read_text().startswith("id,voxels,volume_nm3\n1,")
