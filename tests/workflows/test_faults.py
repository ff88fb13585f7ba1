"""Killed runs, full disks, damaged sources: what is reported, and what is left."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from asem.blocks import journal
from asem.blocks.output_ownership import JOURNAL_FOLDER
from asem.cli import main
from asem.image import clahe
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi
from asem.volume.sources import open_volume
from asem.workflows.importing import import_volume
from killed import run_killed
from mounts import ASEM, in_namespace
from shards import small_shards

SHAPE = (24, 40, 60)
EDGE = 16
COMMANDS = {
    "import": ["import", "raw.tif", "out", "--voxel-size", "5", "--roi", "1:,:,:"],
    "clahe": ["clahe", "raw", "out", "--kernel", "16"],
    "mask": ["mask", "raw", "out", "--config", "mask.toml"],
    "labels": ["labels", "annotation", "out", "--structure", "s.toml"],
    "zone": ["labels", "annotation", "a", "--structure", "s.toml", "--exclusion-zone", "out"],
    "instances": ["instances", "annotation", "out", "--min-size", "5"],
    "split": ["instances", "annotation", "out", "--split", "--structure", "s.toml"],
    "segment": ["segment", "raw8", "out", "--min-size", "9"],
    "measure": [
        *("measure", "others", "--out", "out", "--raw", "raw8"),
        *("--other", "annotation", "--within", "12"),
    ],
    "pores": ["pores", "others", "raw8", "--out", "out"],
    "pits": ["pits", "others", "raw8", "--plasma-membrane", "annotation", "--out", "out"],
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Small volumes and settings for every command."""
    folder, rng = tmp_path_factory.mktemp("inputs"), np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.random(SHAPE), 1.5)
    raw = ((noise - noise.min()) / np.ptp(noise) * 40_000).astype(np.uint16)
    tifffile.imwrite(folder / "raw.tif", raw)
    tifffile.imwrite(folder / "annotation.tif", (noise > 0.5).astype(np.uint8))
    tifffile.imwrite(folder / "raw8.tif", (raw >> 8).astype(np.uint8))
    others = ndimage.label(noise < 0.45)[0].astype(np.uint16)
    tifffile.imwrite(folder / "others.tif", others)
    kinds = {"raw": "image", "annotation": "labels", "raw8": "image", "others": "labels"}
    for name, kind in kinds.items():
        import_volume(folder / f"{name}.tif", folder / name, voxel_size=(5.0,) * 3, kind=kind)
    (folder / "mask.toml").write_text(
        "above = 50\nbelow = 200\nopening_nm = 5\nclosing_nm = 5\nlargest_hole_nm3 = 5e3\n"
        "smallest_nm3 = 5e3\n"
    )
    (folder / "s.toml").write_text(
        'name = "s"\nsmallest_nm3 = 5e3\nlargest_hole_nm3 = 5e3\ndilation_nm = 5\n'
        "zone_out_nm = 10\nzone_in_nm = 5\n[split]\nmax_distance_nm = 30\n"
    )
    return folder


def levels(image):
    """All files of the arrays of an image, or all tables of results."""
    files = [path for path in image.rglob("*") if path.is_file() and path.suffix != ".json"]
    files += list(image.glob("*/zarr.json"))
    assert files
    return {str(path.relative_to(image)): path.read_bytes() for path in files}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_that_was_killed_resumes_to_the_same_bits(
    command, inputs, tmp_path, monkeypatch, capsys
):
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    small_shards(EDGE, monkeypatch.setattr)
    words, done, finished = COMMANDS[command], -1, False
    for after in (3, 35, 50):  # in the first stage, in the middle, near the end
        code = run_killed(words, edge=EDGE, after=after, log=tmp_path / "log")
        if code == 0:
            finished = True
            break
        assert code == -signal.SIGKILL, (tmp_path / "log").read_text()
        records = list(Path().glob("*/.asem/journal.jsonl"))
        before, done = done, sum(len(path.read_text().splitlines()) for path in records)
        assert done > before or command == "zone"
    if not finished:
        assert main(words) == 0, capsys.readouterr().err
    Path("out").rename("resumed")
    if command == "zone":
        shutil.rmtree("a")
    assert main(words) == 0, capsys.readouterr().err
    assert levels(Path("resumed")) == levels(Path("out"))
    assert not (Path("resumed") / JOURNAL_FOLDER).exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_another_run_restarts_is_left_to_it(
    command, inputs, tmp_path, monkeypatch, capsys
):
    """No shard of the first is among those of the second, and nothing is declared finished."""
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("asem.blocks.executors.RETRY_INTERVAL_S", 0)
    small_shards(EDGE, monkeypatch.setattr)
    record, other, left = journal.Journal.record, ["clahe", "raw", "out", "--kernel", "8"], 8

    def delete_and_begin(self, *blocks):
        nonlocal left
        left -= self.path.parent.parent.name == "out"
        if left == 0:
            monkeypatch.setattr(journal.Journal, "record", record)
            shutil.rmtree("out", ignore_errors=True)
            while main(other) != 0:  # a block was just on its way there
                shutil.rmtree("out", ignore_errors=True)
        record(self, *blocks)

    monkeypatch.setattr(journal.Journal, "record", delete_and_begin)
    assert main(COMMANDS[command]) == 2
    assert "out was deleted, moved or restarted" in capsys.readouterr().err.splitlines()[-1]
    Path("out").rename("found")
    assert main(other) == 0
    assert levels(Path("found")) == levels(Path("out"))
    assert not (Path("found") / JOURNAL_FOLDER).exists()


def test_only_what_was_in_flight_is_done_again(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(inputs / "raw", "raw")
    words = ["clahe", "raw", "out", "--kernel", "16"]
    assert run_killed(words, edge=EDGE, after=10, log=tmp_path / "log") == -signal.SIGKILL
    small_shards(EDGE, monkeypatch.setattr)
    first = Path("out/.asem/journal.jsonl").read_text().splitlines()
    assert len(first) == 11  # and the request
    recorded = {json.loads(line)["done"] for line in first[1:]}
    written = [path for path in Path("out/.asem/mappings").rglob("*") if path.suffix != ".json"]
    # Two are in flight: one that was stored, but not recorded, and perhaps the next.
    assert 11 <= sum(path.is_file() for path in written) <= 12
    done, measure = [], clahe._write_mappings

    def seen(tiles, **options):
        done.append(f"histograms {tiles}")
        return measure(tiles, **options)

    monkeypatch.setattr(clahe, "_write_mappings", seen)
    assert main(["clahe", "raw", "out", "--kernel", "16", "--json"]) == 0
    every = {
        f"histograms {tiles}" for tiles in split_into_blocks(Roi((0, 0, 0), (2, 3, 4)), (1, 1, 1))
    }
    assert set(done) == every - recorded
    assert len(done) == len(every) - 10


def test_a_damaged_chunk_is_named(inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small_shards(EDGE, monkeypatch.setattr)
    import_volume(inputs / "raw8.tif", Path("raw"), voxel_size=(5.0,) * 3)
    monkeypatch.setattr("asem.blocks.executors.RETRY_INTERVAL_S", 0)
    shard = Path("raw/0/c/1/2/0")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    for words in (["clahe", "raw", "a", "--kernel", "16"], ["mask", "raw", "b"]):
        assert main(words) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert "0: chunk " in line
        assert "is damaged" in line
    # The chunk that is named is the one: all others can be read.
    box = line.split("chunk ")[1].split(" ")[0]
    part = tuple(slice(*map(int, axis.split(":"))) for axis in box.split(","))
    assert [s.start // EDGE for s in part] == [1, 2, 0]
    raw = open_volume(Path("raw"))
    assert raw.array[0:16, 0:16, 0:16].any()
    with pytest.raises(ValueError, match=f"chunk {box} is damaged"):
        _ = raw.array[part]


def test_a_full_disk_is_reported_and_the_run_is_resumed_later(tmp_path, rng):
    voxels = rng.integers(0, 255, (40, 200, 200)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "s.tif", voxels)
    (tmp_path / "small").mkdir()
    run = f"{ASEM} import s.tif small/raw --voxel-size 5"
    done = in_namespace(
        f"mount -t tmpfs -o size=1m none small; {run} || echo code $?; "
        f"ls small/raw/zarr.json || echo unfinished; mount -o remount,size=9m small; {run}",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "code 2" in done.stdout
    assert "unfinished" in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("asem:")]
    assert "No space left on device" in line
    assert "import, block" in line


def test_a_full_disk_is_reported_where_planes_go_through_a_file(tmp_path, rng):
    voxels = rng.integers(0, 255, (40, 300, 300)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "s.tif", voxels, compression="zlib")
    (tmp_path / "small").mkdir()
    code = (
        "from asem.workflows import slab_buffer; slab_buffer.MAX_IN_MEMORY_SLAB_BYTES = 1000; "
        "from asem.cli import main; raise SystemExit(main())"
    )
    run = f"{sys.executable} -c '{code}' import s.tif small/raw --voxel-size 5"
    done = in_namespace(
        f"mount -t tmpfs -o size=2m none small; {run} || echo code $?; ls small; "
        f"mount -o remount,size=19m small; {run}",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "code 2" in done.stdout
    assert "raw" not in done.stdout.splitlines()
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("asem:")]
    assert "s.tif (40 x 300 x 300 voxels) needs 3.6 MB of disk, of which 2.1 MB are free" in line


def test_bad_input_creates_nothing(inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    faults = [
        (["clahe", "annotation", "out"], "holds labels; name an image"),
        (["mask", "annotation", "out"], "holds labels; name an image"),
        (
            ["clahe", "raw", "out", "--kernel", "4"],
            "'kernel': give a list of 3, each a whole number from 8 to",
        ),
        (["mask", "raw", "out", "--above", "200"], "leave no grey value"),
        (["labels", "raw", "out", "--structure", "mito"], "is an image; import labels"),
        (["labels", "annotation", "out", "--structure", "ear"], "unknown structure 'ear'"),
        (
            ["labels", "annotation", "out", "--structure", "e.toml"],
            "--structure: there is no structure file e.toml",
        ),
        (
            ["labels", "annotation", "out", "--structure", "mito", "--exclusion-zone", "raw"],
            "raw exists already",
        ),
        (
            ["labels", "annotation", "out", "--structure", "mito", "--exclusion-zone", "out"],
            "three different images",
        ),
        (["instances", "raw", "out"], "is an image; import labels"),
        (["instances", "annotation", "out", "--sizes", "s.toml"], "s.toml exists already"),
        (["clahe", "raw", "out", "--workers", "0"], "at least one worker"),
    ]
    for words, message in faults:
        assert main(words) == 2, words
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert message in lines[0]
        assert not Path("out").exists()


def test_a_table_of_sizes_is_finished_after_an_interruption(inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(inputs / "annotation", "annotation")
    small_shards(EDGE, monkeypatch.setattr)
    words = ["instances", "annotation", "out", "--sizes", "s/sizes.csv"]
    assert run_killed(words, edge=EDGE, after=53, log=tmp_path / "log") < 0  # in the pyramid
    assert Path("s/sizes.csv").exists()
    assert main(words) == 0
    assert len(Path("s/sizes.csv").read_text().splitlines()) > 2


def test_a_damaged_record_is_reported(inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(inputs / "annotation", "annotation")
    small_shards(EDGE, monkeypatch.setattr)
    words = ["instances", "annotation", "out"]
    assert run_killed(words, edge=EDGE, after=20, log=tmp_path / "log") < 0
    Path("out/.asem/objects/0_0_0.npz").write_bytes(b"")
    assert main(words) == 2
    assert "0_0_0.npz is damaged; give --overwrite to restart" in capsys.readouterr().err


def test_a_read_only_target_is_reported(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((5, 6, 7), np.uint8))
    (tmp_path / "fixed").mkdir()
    done = in_namespace(
        f"mount -t tmpfs -o ro none fixed; {ASEM} import s.tif fixed/raw --voxel-size 5",
        tmp_path,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("asem: ")
    assert "Read-only file system" in line


def test_planes_that_change_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("asem.blocks.executors.RETRY_INTERVAL_S", 0)
    Path("s").mkdir()
    for number in range(20):
        tifffile.imwrite(f"s/p_{number}.tif", np.full((20, 20), number, np.uint8))
    small_shards(EDGE, monkeypatch.setattr)
    words = ["import", "s", "out", "--voxel-size", "5"]
    assert run_killed(words, edge=EDGE, after=3, log=tmp_path / "log") < 0
    tifffile.imwrite("s/p_19.tif", np.full((20, 20), 99, np.uint8))
    assert main(words) == 2
    assert "it differs in source: " in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0


def test_a_plane_that_changes_in_mid_run_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("asem.blocks.executors.RETRY_INTERVAL_S", 0)
    small_shards(EDGE, monkeypatch.setattr)
    (tmp_path / "s").mkdir()
    for number in range(40):
        tifffile.imwrite(tmp_path / f"s/p_{number}.tif", np.full((20, 20), number, np.uint8))

    def change(stage, done, total):
        if 0 < done < total:
            os.utime(tmp_path / "s/p_39.tif", (0, 0))

    with pytest.raises(ValueError, match=r"p_39\.tif changed while it was read \(its time of"):
        import_volume(tmp_path / "s", tmp_path / "out", voxel_size=(5.0,) * 3, progress=change)
