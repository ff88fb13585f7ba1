"""What an export leaves on disk: its rights, nothing half-written, nothing of another process."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from asem.workflows.exporting import export_volume
from asem.workflows.importing import import_volume

EXPORT = """
from pathlib import Path
from asem.workflows import exporting
exporting.refuse_without_disk = lambda *_: None  # something else fills the disk afterwards
try:
    exporting.export_volume(Path("raw"), Path("small/out"))
except OSError as error:
    print(error)
"""


@pytest.fixture
def raw(tmp_path, rng):
    tifffile.imwrite(tmp_path / "s.tif", rng.integers(0, 255, (9, 100, 200)).astype(np.uint8))
    import_volume(tmp_path / "s.tif", tmp_path / "raw", voxel_size=(5.0,) * 3)
    return tmp_path / "raw"


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o077])
@pytest.mark.parametrize("above", [0o755, 0o2775])
def test_rights_are_those_of_mkdir_and_open(raw, tmp_path, mask, above):
    place = tmp_path / "shared"
    place.mkdir()
    if os.getuid() == 0:
        os.chown(place, -1, 12345)
    place.chmod(above)
    before = os.umask(mask)
    try:
        (place / "made").mkdir()
        (place / "written").touch()
        for overwrite in (False, True):
            export_volume(raw, place / "out", overwrite=overwrite)
    finally:
        os.umask(before)
    out, made, written = ((place / name).stat() for name in ("out", "made", "written"))
    assert (out.st_mode, out.st_gid) == (made.st_mode, made.st_gid)
    for plane in (place / "out").iterdir():
        assert plane.stat().st_mode == written.st_mode
        assert plane.stat().st_gid == made.st_gid or not above & 0o2000


@pytest.mark.parametrize("size", ["12k", "40k", "64k", "100k", "176k"])
def test_a_full_disk_is_told_with_the_file_and_nothing_is_left(raw, tmp_path, size):
    (tmp_path / "small").mkdir()
    (tmp_path / "export.py").write_text(EXPORT)
    script = f"mount -t tmpfs -o size={size} none small; {sys.executable} export.py; ls -A small"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "bash", "-euc", script],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    (told,) = done.stdout.splitlines()
    assert told.startswith("[Errno 28] No space left on device: ")
    assert "small/out/raw_000" in told
    assert done.stderr == ""


def test_what_another_process_exported_meanwhile_stays(raw, tmp_path):
    def export(stage, done, total):
        if done == total:
            (tmp_path / "out").mkdir()
            (tmp_path / "out/raw_0000.tif").write_text("another's")

    with pytest.raises(FileExistsError, match="exists already"):
        export_volume(raw, tmp_path / "out", progress=export)
    assert (tmp_path / "out/raw_0000.tif").read_text() == "another's"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
