"""Standard streams that are closed, broken or full: the work is finished all the same."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from asem.cli import main
from asem.workflows.importing import import_volume

ASEM = f"{sys.executable} -m asem"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    voxels = np.random.default_rng(0).integers(0, 255, (9, 20, 30)).astype(np.uint8)
    tifffile.imwrite(folder / "s.tif", voxels)
    import_volume(folder / "s.tif", folder / "raw", voxel_size=(5.0,) * 3)
    return folder


def bash(script, folder):
    """Run a script; returns its exit code and what it says on streams that can be written."""
    done = subprocess.run(
        ["bash", "-uc", f"set -o pipefail; {script}"], cwd=folder, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


UNWRITABLE = {
    "closed stdout": "{} >&-",
    "closed stderr": "{} 2>&-",
    "all closed": "{} <&- >&- 2>&-",
    "broken stdout": "{} | true",
    "broken stderr": "{} 2> >(exec true)",
    "full stdout": "{} >/dev/full",
    "full stderr": "{} 2>/dev/full",
    "both full": "{} >/dev/full 2>&1",
    "read-only stdout": "{} 1</dev/null",
}


@pytest.mark.parametrize("streams", UNWRITABLE)
def test_the_work_is_finished_whatever_the_streams(folder, streams):
    out = f"out {streams}".replace(" ", "_")
    words = f"{ASEM} import s.tif {out} --voxel-size 5 -v --json"
    code, _, stderr = bash(UNWRITABLE[streams].format(words), folder)
    assert code == 0, stderr
    lines = [line for line in stderr.splitlines() if "could not be printed" in line]
    assert bool(lines) == (streams in ("full stdout",))
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr
    # All is there, and nothing that was printed got into it.
    for one, other in zip(*(sorted((folder / n).rglob("*")) for n in (out, "raw")), strict=True):
        assert one.relative_to(folder / out) == other.relative_to(folder / "raw")
        assert one.is_dir() or one.name == "zarr.json" or one.read_bytes() == other.read_bytes()
    json.loads((folder / out / "zarr.json").read_text())


@pytest.mark.parametrize("streams", ["closed stderr", "broken stderr", "both full"])
def test_a_fault_keeps_its_exit_code(folder, streams):
    code, _, stderr = bash(UNWRITABLE[streams].format(f"{ASEM} info nothing"), folder)
    assert code == 2
    assert "Traceback" not in stderr
    assert "Exception ignored" not in stderr


@pytest.mark.parametrize("words", ["--help", "info raw"])
def test_what_only_prints_ends_well(folder, words):
    for streams in ("broken stdout", "closed stdout"):
        assert bash(UNWRITABLE[streams].format(f"{ASEM} {words}"), folder) == (0, "", "")
    code, _, stderr = bash(f"{ASEM} {words} >/dev/full", folder)
    assert code == 0
    assert stderr == "asem: the output could not be printed: [Errno 28] No space left on device\n"


def test_workers_do_not_mind_either(folder):
    words = f"{ASEM} import s.tif workers --voxel-size 5 --workers 1 >&- 2>&-"
    assert bash(words, folder)[0] == 0
    assert (folder / "workers/zarr.json").exists()


def test_text_that_a_stream_cannot_encode_is_escaped(folder):
    script = f"PYTHONIOENCODING=ascii {ASEM} info $'caf\\u00e9'"
    code, _, stderr = bash(script, folder)
    assert code == 2
    assert stderr == "asem: there is nothing at caf\\xe9\n"


NOT_UTF8 = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    "words",
    [
        ["import", "s.tif", "{}/raw", "--voxel-size", "5"],
        ["import", "{}/s.tif", "out", "--voxel-size", "5"],
        ["import", "here.tif", "out", "--voxel-size", "5"],
        ["clahe", "raw", "{}/clahe"],
        ["clahe", "raw", "link/clahe"],
        ["export", "raw", "{}"],
        ["export", "raw", "link/out"],
        ["export", "{}/raw", "out"],
        ["instances", "raw", "out", "--sizes", "{}/sizes.csv"],
        ["train", "train.toml", "--out", "{}/run"],
        ["train", "train.toml", "--out=link/run"],
        ["demo", "{}"],
        ["demo", "link/demo"],
        ["models", "convert", "s.tif", "{}", "--published", "1675"],
        ["models", "convert", "s.tif", "link/model", "--published", "1675"],
        ["info", "{}/raw"],
        ["info", "link/raw"],
    ],
)
def test_a_path_that_is_not_utf8_is_refused_before_anything_is_written(
    folder, tmp_path, monkeypatch, capsys, words
):
    monkeypatch.chdir(tmp_path)
    place = tmp_path / NOT_UTF8
    place.mkdir()
    (tmp_path / "link").symlink_to(place)
    for name in ("s.tif", "raw"):
        (tmp_path / name).symlink_to(folder / name)
        (place / name).symlink_to(folder / name)
    (place / "own.tif").write_bytes((folder / "s.tif").read_bytes())
    (tmp_path / "here.tif").symlink_to(place / "own.tif")
    (tmp_path / "train.toml").write_text('structure = "mito"\nvoxel_size = 5\n')
    before = sorted(tmp_path.rglob("*"))
    if words[0] == "info" and "link" in words[1]:
        (place / "raw").unlink()
        import_volume(folder / "s.tif", tmp_path / "o", voxel_size=(5.0,) * 3)
        (tmp_path / "o").rename(place / "raw")
        before = sorted(tmp_path.rglob("*"))
    if words[0] == "train":
        (tmp_path / "train.toml").write_text(TRAINING)
    assert main([word.format(NOT_UTF8) for word in words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("asem: ")
    assert "caf\\xe9" in line
    assert "not UTF-8 text; rename" in line
    assert sorted(tmp_path.rglob("*")) == before


TRAINING = """
structure = "mito"
voxel_size = [5, 5, 5]
[[train]]
raw = "raw"
labels = "raw"
"""


def test_planes_whose_names_are_not_utf8_are_read(folder, tmp_path):
    (tmp_path / "planes").mkdir()
    for number in range(3):
        name = os.fsdecode(f"planes/\u00e9{number}.tif".encode("latin-1"))
        tifffile.imwrite(tmp_path / name, np.full((4, 5), number, np.uint8))
    volume = import_volume(tmp_path / "planes", tmp_path / "out", voxel_size=(5.0,) * 3)
    assert (volume.read(volume.roi)[:, 0, 0] == [0, 1, 2]).all()
