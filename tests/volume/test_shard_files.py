"""Files of arrays: missing, no files at all, and those that were never there."""

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given
from hypothesis import strategies as st

from asem.blocks.output_image import create_image
from asem.cli import main
from asem.volume import ngff, zarr_arrays
from asem.volume.shard_files import ShardFiles, encode_shard_bitmap, index_bounds
from asem.volume.sources import open_volume
from asem.volume.volume import Volume
from asem.volume.zero_array import ZeroArray
from limits import run_limited
from shards import small_shards

EDGE = 16
SHAPE = (40, 50, 60)


@pytest.fixture
def image(tmp_path, monkeypatch):
    """A finished image of 3 x 4 x 4 shards, of which those with x from 32 hold only zeros."""
    monkeypatch.chdir(tmp_path)
    small_shards(EDGE, monkeypatch.setattr)
    monkeypatch.setattr("asem.blocks.executors.RETRY_INTERVAL_S", 0)
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[:, :, :32] = 1
    make(Path("r"), voxels)
    return voxels


def make(path, voxels):
    template = Volume(ZeroArray(voxels.shape, voxels.dtype), (5.0, 5.0, 5.0))
    with create_image(path, template, command="test", request={}, sources=[]) as output:
        output.fill(lambda block: voxels[block.slices], stage="test", voxel_bytes=1)


def files_of(path):
    return sorted(str(f.relative_to(path)) for f in path.rglob("*") if f.is_file())


def test_shards_of_zeros_have_no_file_and_are_zeros(image):
    assert not Path("r/0/c/0/0/2").exists()
    assert (open_volume(Path("r")).array[:, :, :] == image).all()
    assert main(["export", "r", "planes"]) == 0


def test_no_shard_of_a_finished_image_can_be_lost(image, capsys):
    """Of any level: the message names it, nothing is written."""
    for level in ("0", "1"):
        stored = sorted(f for f in Path("r", level, "c").rglob("*") if f.is_file())
        assert stored
        for file in stored:
            file.rename("away")
            with pytest.raises(ValueError, match=f"r/{level}/c/.* is missing; it existed"):
                _ = ngff.open_levels(Path("r"))[int(level)][:, :, :]
            Path("away").rename(file)
    Path("r/0/c/1/2/0").unlink()
    for words in (["export", "r", "o"], ["clahe", "r", "o", "--kernel", "16"], ["mask", "r", "o"],
                  ["import", "r", "o"]):  # fmt: skip
        assert main(words) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert "r/0/c/1/2/0 is missing; it existed when the image was finished" in line
        shutil.rmtree("o", ignore_errors=True)


def test_a_read_beside_a_lost_shard_is_none_of_it(image):
    Path("r/0/c/1/2/0").unlink()
    array = open_volume(Path("r")).array
    assert (array[16:32, 0:32, 0:60] == image[16:32, 0:32, 0:60]).all()
    assert (array[:, :, 16:] == image[:, :, 16:]).all()
    for box in (np.s_[20, 40, 3], np.s_[..., 0:1], np.s_[31:33, 31:33, 0:9], np.s_[:, 47]):
        with pytest.raises(ValueError, match="r/0/c/1/2/0 is missing"):
            _ = array[box]


def test_workers_notice_it_too(image):
    array = pickle.loads(pickle.dumps(open_volume(Path("r")).array))
    Path("r/0/c/0/0/0").unlink()
    with pytest.raises(ValueError, match="r/0/c/0/0/0 is missing"):
        _ = array[0:8, 0:8, 0:8]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ("rm -r r/0/c", "r/0/c/0/0/0 is missing"),
        ("rm -r r/0", "r/0 cannot be read: its zarr.json is missing"),
        ("rm r/0/c/0/0/0; mkdir r/0/c/0/0/0", "r/0/c/0/0/0 is no regular file"),
        ("rm r/0/c/0/0/0; mkfifo r/0/c/0/0/0", "r/0/c/0/0/0 is no regular file"),
        ("> r/0/c/0/0/0", "0: chunk .* is damaged"),
        ("truncate -s 20 r/0/c/0/0/0", "0: chunk .* is damaged"),
        ("truncate -s 300 r/0/c/0/0/0", "0: chunk .* is damaged"),
        ("truncate -s 10G r/0/c/0/0/0", "r/0/c/0/0/0 is larger than its voxels"),
        ("rm r/0/zarr.json; mkfifo r/0/zarr.json", "is a pipe, a socket or a device"),
        ("rm -r r/0/c; > r/0/c", "r/0/c/0/0/0 is missing"),
    ],
)
def test_every_kind_of_loss_is_one_line(image, harm, message, tmp_path):
    assert os.system(harm) == 0
    code, lines = run_limited(["export", "r", "planes"], tmp_path / "log")
    assert code == 2
    assert [line for line in lines if line.startswith("asem: ")] == lines[-1:]
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(lines[-1])
    assert not Path("planes").exists()


def crc32c(data):
    """Checksum of the index of a shard (Castagnoli)."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


@pytest.mark.parametrize(("place", "length"), [(0, 2**60), (2**63 - 5, 2**62), (2**64 - 2, 9)])
def test_an_index_that_states_more_than_the_file_is_damage(image, place, length):
    """With a checksum that is right."""
    file = Path("r/0/c/0/0/0")
    entries = (EDGE // zarr_arrays.CHUNK[0]) ** 3
    index = np.array([[place, length]] * entries, "<u8").tobytes()
    own = file.read_bytes()[: -len(index) - 4]
    file.write_bytes(own + index + crc32c(index).to_bytes(4, "little"))
    for box in (np.s_[0:1, 0:1, 0:1], np.s_[:, :, :]):
        with pytest.raises(ValueError, match=r"r/0: chunk 0:8,0:8,0:8 is damaged"):
            _ = open_volume(Path("r")).array[box]


def test_a_lost_level_is_reported(image, capsys):
    shutil.rmtree("r/1")
    assert main(["info", "r"]) == 2
    assert "r/1 cannot be read" in capsys.readouterr().err


def test_a_resumed_image_lists_its_files_in_the_end(image):
    voxels = np.ones(SHAPE, np.uint8)
    blocks = []

    def stopping(block):
        blocks.append(block)
        if len(blocks) > 5:
            raise KeyboardInterrupt
        return voxels[block.slices]

    template = Volume(ZeroArray(SHAPE, voxels.dtype), (5.0, 5.0, 5.0))
    options = {"command": "test", "request": {}, "sources": []}
    with pytest.raises(KeyboardInterrupt), create_image(Path("s"), template, **options) as output:
        output.fill(stopping, stage="test", voxel_bytes=1)
    make(Path("s"), voxels)
    Path("s/0/c/0/0/0").unlink()
    with pytest.raises(ValueError, match="s/0/c/0/0/0 is missing"):
        _ = open_volume(Path("s")).array[0:8, 0:8, 0:8]


@pytest.mark.parametrize("text", ["", "no base64!", "AAAA", "eJwDAAAAAAE="])
def test_a_list_that_is_damaged_is_reported(image, text):
    array = zarr_arrays.open_array(Path("r/0"), shard_bitmap=text)
    with pytest.raises(ValueError, match=r"the list of shards of .*r/0 is damaged"):
        _ = array[0:8, 0:8, 50:60]


def test_arrays_of_other_programs_may_lack_files(image):
    shutil.rmtree("r/0/c")
    assert not zarr_arrays.open_array(Path("r/0"))[:, :, :].any()


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ({"name": "default", "configuration": {"separator": "."}}, "c.0.1.0"),
        ({"name": "default"}, "c/0/1/0"),
        ({"name": "v2"}, "0.1.0"),
        ({"name": "v2", "configuration": {"separator": "/"}}, "0/1/0"),
    ],
)
def test_files_are_found_by_any_name(tmp_path, encoding, name):
    metadata = {
        "shape": [8, 8, 8], "data_type": "uint8", "chunk_key_encoding": encoding,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 4, 4]}},
    }  # fmt: skip
    kvstore = {"driver": "file", "path": f"{tmp_path}/a/"}
    spec = {"driver": "zarr3", "kvstore": kvstore, "metadata": metadata}
    store = ts.open(spec, create=True).result()
    store[:, 4:, :] = 1
    array = zarr_arrays.open_array(tmp_path / "a")
    assert array[0:1, 7:8, 0:1].item() == 1
    (tmp_path / "a" / name).unlink()
    os.mkfifo(tmp_path / "a" / name)
    assert array[:, :4, :].shape == (8, 4, 8)
    with pytest.raises(ValueError, match=f"{name} is no regular file"):
        _ = array[0:1, 7:8, 0:1]


@given(st.lists(st.booleans(), min_size=30, max_size=30))
def test_the_list_holds_what_there_is(tmp_path_factory, there):
    folder = tmp_path_factory.mktemp("array")
    grid = list(np.ndindex(2, 3, 5))
    stored = {cell for cell, is_there in zip(grid, there, strict=True) if is_there}
    for z, y, x in stored:
        (folder / f"c/{z}/{y}").mkdir(parents=True, exist_ok=True)
        (folder / f"c/{z}/{y}/{x}").touch()
    (folder / "c/7").mkdir(parents=True)
    (folder / "c/.nfs1").touch()
    files = ShardFiles(folder, (7, 9, 17), (4, 3, 4), 0)
    listed = ShardFiles(
        folder, files.shape, files.shard, 0, shard_bitmap=encode_shard_bitmap(files)
    )
    assert {cell for cell in grid if listed.must_exist(cell)} == stored


@given(st.integers(0, 7), st.one_of(st.none(), st.integers(-9, 9)), st.integers(1, 3))
def test_spans_hold_what_an_index_reads(start, stop, step):
    places = np.arange(8)[start:stop:step]
    ((low, high),) = index_bounds(slice(start, stop, step), (8,))
    assert high - low == (places.max() - places.min() + 1 if len(places) else 0)
    assert not len(places) or low == places.min()
