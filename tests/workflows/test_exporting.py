"""What an export leaves on disk: its rights, nothing half-written, nothing of another process."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from asem.cli import main
from asem.system.files import is_temporary_name
from asem.volume import tiff_sources
from asem.workflows.exporting import export_volume
from asem.workflows.importing import import_volume

EXPORT = """
from pathlib import Path
from asem.workflows import exporting
exporting.check_free_disk = lambda *_: None  # something else fills the disk afterwards
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
def test_a_full_disk_is_reported_with_the_file_and_nothing_is_left(raw, tmp_path, size):
    (tmp_path / "small").mkdir()
    (tmp_path / "export.py").write_text(EXPORT)
    script = f"mount -t tmpfs -o size={size} none small; {sys.executable} export.py; ls -A small"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "bash", "-euc", script],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    (line,) = done.stdout.splitlines()
    assert line.startswith("[Errno 28] No space left on device: ")
    assert "small/out/raw_000" in line
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


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


PLANES = [f"raw_{number:04d}.tif" for number in range(9)]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_appears_meanwhile_stays(raw, tmp_path, monkeypatch, capsys, overwrite):
    monkeypatch.chdir(tmp_path)
    write, words = tiff_sources.write_plane, ["export", "raw", "planes"]
    if overwrite:
        assert main(words) == 0

    def write_and_add(path, *args):
        write(path, *args)
        (tmp_path / "planes").mkdir(exist_ok=True)
        (tmp_path / "planes/thesis.txt").write_text("x")

    monkeypatch.setattr(tiff_sources, "write_plane", write_and_add)
    assert main([*words, "--overwrite"] if overwrite else words) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert ("holds more than a TIFF export" if overwrite else "exists already") in line
    assert (tmp_path / "planes/thesis.txt").read_text() == "x"
    assert listed(tmp_path / "planes") == [*(PLANES if overwrite else []), "thesis.txt"]
    assert listed(tmp_path) == ["planes", "raw", "s.tif"]


def test_a_file_that_appears_at_the_last_moment_stays(raw, tmp_path, monkeypatch, capsys):
    """After the last plane of the old export was checked, before it is exchanged for the new."""
    monkeypatch.chdir(tmp_path)
    assert main(["export", "raw", "planes"]) == 0
    is_own, checked = tiff_sources.is_exported_plane, []

    def check_and_add(path):
        own = is_own(path)
        checked.append(path)
        if len(checked) == 2 * len(PLANES):
            (tmp_path / "planes/thesis.txt").write_text("x")
        return own

    monkeypatch.setattr(tiff_sources, "is_exported_plane", check_and_add)
    assert main(["export", "raw", "planes", "--overwrite"]) == 2
    assert "planes holds more than a TIFF export" in capsys.readouterr().err.splitlines()[-1]
    assert listed(tmp_path / "planes") == [*PLANES, "thesis.txt"]
    assert listed(tmp_path) == ["planes", "raw", "s.tif"]


def test_of_two_exports_to_one_place_one_succeeds(raw, tmp_path):
    words = [sys.executable, "-m", "asem", "export", "raw", "planes"]
    both = [subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE) for _ in range(2)]
    stderr = [process.communicate()[1].decode() for process in both]
    assert sorted(process.returncode for process in both) == [0, 2]
    assert "exists already" in "".join(stderr)
    assert listed(tmp_path / "planes") == PLANES
    assert listed(tmp_path) == ["planes", "raw", "s.tif"]


SLOWLY = """
import sys
from asem.cli import main
from asem.volume import tiff_sources

write = tiff_sources.write_plane

def write_and_wait(path, *args):
    write(path, *args)
    print("written", flush=True)
    sys.stdin.readline()

tiff_sources.write_plane = write_and_wait
sys.exit(main(["export", "raw", "planes", *sys.argv[1:]]))
"""


@pytest.fixture
def exporting(raw, tmp_path):
    """An export that has written its first plane, and waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY], cwd=tmp_path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    with process:
        assert process.stdout.readline() == "written\n"
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing(exporting, tmp_path, number):
    assert any(map(is_temporary_name, listed(tmp_path)))
    exporting.send_signal(number)
    stderr = exporting.communicate()[1]
    assert exporting.returncode == 128 + number
    assert len(stderr.splitlines()) == 1
    assert "asem: interrupted; run the same command again" in stderr
    assert listed(tmp_path) == ["raw", "s.tif"]


def test_what_a_killed_export_left_is_removed_by_the_next_one(exporting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exporting.kill()
    exporting.wait()
    left = [name for name in listed(tmp_path) if is_temporary_name(name)]
    assert main(["export", "raw", "other"]) == 0
    assert set(left) < set(listed(tmp_path))
    assert main(["export", "raw", "planes"]) == 0
    assert listed(tmp_path) == ["other", "planes", "raw", "s.tif"]


def test_what_a_living_export_makes_stays(exporting, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    left = [name for name in listed(tmp_path) if is_temporary_name(name)]
    assert main(["export", "raw", "planes"]) == 0
    assert listed(tmp_path) == sorted([*left, "planes", "raw", "s.tif"])
    stderr = exporting.communicate("\n" * 9)[1]
    assert exporting.returncode == 2
    assert "planes exists already" in stderr
    assert listed(tmp_path) == ["planes", "raw", "s.tif"]
    assert listed(tmp_path / "planes") == PLANES


def test_a_link_among_the_planes_is_not_deleted(raw, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "raw", "planes"]) == 0
    (tmp_path / "planes/link.tif").symlink_to("raw_0000.tif")
    assert main(["export", "raw", "planes", "--overwrite"]) == 2
    assert "holds more than a TIFF export (link.tif)" in capsys.readouterr().err
    assert listed(tmp_path / "planes") == ["link.tif", *PLANES]


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_no_planes_are_written_through_a_link(raw, tmp_path, monkeypatch, capsys, overwrite):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "raw", "planes"]) == 0
    (tmp_path / "link").symlink_to("planes")
    assert main(["export", "raw", "link", *overwrite]) == 2
    assert "link is a symbolic link; give the path" in capsys.readouterr().err
    assert (tmp_path / "link").is_symlink()
    assert listed(tmp_path / "planes") == PLANES
