"""Images that state more voxels than any disk, memory or list holds, in a few bytes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from asem.cli import main
from asem.system import resources
from asem.volume.block_grid import MAX_BLOCKS, check_block_count, split_into_blocks
from asem.volume.roi import Roi
from asem.volume.sources import open_volume
from asem.workflows.importing import import_volume
from limits import run_limited

HUGE = 10**5
CHUNK = {"chunk": [256] * 3, "inner": [64] * 3}
TRAINING = """
structure = "mito"
voxel_size = [5, 5, 5]
iterations = 2
patch = 28
device = "cpu"
[model]
features = 2
levels = 2
[[train]]
raw = "huge"
labels = "labels"
"""


def make(path, shape, *, chunk, inner=None, dtype="uint8", original=None, size=(5, 5, 5), labels=0):
    """Write the metadata of an image without any chunk."""
    array = path / "0"
    array.mkdir(parents=True)
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    codecs = [little]
    if inner:
        sharding = {"chunk_shape": inner, "codecs": codecs, "index_codecs": [little]}
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    write_json(array, node_type="array", shape=list(shape), data_type=dtype, codecs=codecs,
               chunk_grid={"name": "regular", "configuration": {"chunk_shape": chunk}},
               chunk_key_encoding={"name": "default"}, fill_value=0, attributes={})  # fmt: skip
    scale = {"type": "scale", "scale": list(size)}
    multiscale = {
        "name": "raw",
        "axes": [{"name": axis, "type": "space", "unit": "nanometer"} for axis in "zyx"],
        "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
    }
    ome = {"version": "0.5", "multiscales": [multiscale]}
    ome |= {"image-label": {"version": "0.5"}} if labels else {}
    own = {"kind": "labels" if labels else "image"}
    own |= {"original": {"shape": original, "origin_nm": [0, 0, 0]}} if original else {}
    write_json(path, node_type="group", attributes={"ome": ome, "asem": own})
    return path


def write_json(folder, **document):
    (folder / "zarr.json").write_text(json.dumps({"zarr_format": 3, **document}))


@pytest.fixture
def huge(tmp_path, monkeypatch):
    """Images of 10^15 voxels in a folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    make(Path("huge"), [HUGE] * 3, **CHUNK)
    make(Path("labels"), [HUGE] * 3, labels=1, **CHUNK)
    Path("t.toml").write_text(TRAINING)
    return tmp_path


COMMANDS = {
    "import": ["import", "huge", "out"],
    "labels": ["import", "labels", "out", "--kind", "labels"],
    "export": ["export", "huge", "out"],
    "clahe": ["clahe", "huge", "out"],
    "mask": ["mask", "huge", "out"],
    "clean": ["labels", "labels", "out", "--structure", "mito"],
    "instances": ["instances", "labels", "out"],
    "segment": ["segment", "huge", "out"],
    "evaluate": ["evaluate", "huge", "labels"],
    "train": ["train", "t.toml", "--out", "out"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_image_that_nothing_holds_is_one_line(command, huge):
    before = sorted(entry.name for entry in huge.iterdir())
    code, lines = run_limited(COMMANDS[command], huge / "log")
    assert code == 2, lines
    assert len(lines) == 1, lines
    assert "100000 x 100000" in lines[0]
    (huge / "log").unlink()
    assert sorted(entry.name for entry in huge.iterdir()) == before


def test_a_network_is_not_run_over_it(huge, run):
    code, lines = run_limited(["predict", str(run), "huge", "out"], huge / "log")
    assert code == 2, lines
    assert "voxels" in lines[-1]
    assert not Path("out").exists()


def test_what_it_is_can_be_printed(huge, capsys):
    assert main(["info", "huge", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shape"] == [HUGE] * 3


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ([10**6] * 3, {"chunk": [10**6] * 3}, "has chunks of 1000000 x 1000000 x 1000000 voxels"),
        ([2**16] * 3, {"chunk": [2**15] * 3, "inner": [2**14] * 3}, "4.4 TB each"),
        ([10**5] * 3, {"chunk": [10**4] * 3, "inner": [1] * 3}, "cannot be read"),
        ([10**5] * 3, {"chunk": [1000] * 3, "inner": [2] * 3}, "too many to be read"),
        ([10**3] * 3, {"chunk": [1, 1, 1]}, "too many to be read"),
        ([64] * 3, {**CHUNK, "size": [1e300] * 3}, "1e-06 to 1e+09 nm"),
        ([64] * 3, {**CHUNK, "size": [1e-300] * 3}, "1e-06 to 1e+09 nm"),
        ([64] * 3, {**CHUNK, "original": [-5, 64, 64]}, "original"),
        ([64] * 3, {**CHUNK, "original": [0, 64, 64]}, "original"),
    ],
)  # fmt: skip
def test_absurd_arrays_are_one_line(shape, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(Path("a"), shape, **options)
    for words in (["info", "a"], ["export", "a", "out"], ["import", "a", "out"]):
        code, lines = run_limited(words, tmp_path / "log")
        assert code == 2, lines
        assert len(lines) == 1
        assert message in lines[0]
        assert not Path("out").exists()


def test_an_image_of_many_levels_is_one_line(tmp_path, capsys):
    image = make(tmp_path / "a", [64] * 3, **CHUNK)
    document = json.loads((image / "zarr.json").read_text())
    multiscale = document["attributes"]["ome"]["multiscales"][0]
    multiscale["datasets"] = [{**multiscale["datasets"][0], "path": str(n)} for n in range(10**5)]
    (image / "zarr.json").write_text(json.dumps(document))
    assert main(["info", str(image)]) == 2
    assert "a list has 100000 entries; at most 256 can be read" in capsys.readouterr().err
    multiscale["datasets"] = multiscale["datasets"][:1]
    document["attributes"]["asem"]["padding"] = [0.0] * 257
    (image / "zarr.json").write_text(json.dumps(document))
    assert main(["info", str(image)]) == 2
    assert "padding" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("original", "message"),
    [
        ([40, HUGE, HUGE], "of memory, of which|of disk, of which"),
        ([10**9, 64, 64], "of disk, of which"),
        ([1, 10**10, 10**10], "a plane of 10000000000 x 10000000000 pixels needs"),
        ([10**12, 10**12, 10**12], "of memory, of which"),
    ],
)
def test_planes_that_nothing_holds_are_not_begun(original, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make(Path("a"), [40, 64, 64], original=original, **CHUNK)
    code, lines = run_limited(["export", "a", "planes"], tmp_path / "log")
    assert code == 2
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(lines[0])
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "log"]
    assert main(["info", "a"]) == 0


def test_a_full_disk_is_found_before_the_first_plane(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make(Path("a"), [40, 64, 64], **CHUNK)
    monkeypatch.setattr(resources, "free_disk_bytes", lambda folder: 40 * 64 * 64)
    assert main(["export", "a", "planes"]) == 2
    assert "writing 40 planes of 64 x 64 pixels needs 328 kB of disk" in capsys.readouterr().err
    monkeypatch.setattr(resources, "free_disk_bytes", lambda folder: 40 * (64 * 64 + 4096))
    assert main(["export", "a", "planes"]) == 0


def test_an_image_of_ten_thousand_voxels_each_way_is_honest(tmp_path, monkeypatch):
    """It is allowed where its thousandth is free, whatever it holds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(resources, "free_disk_bytes", lambda folder: 2**30)
    check_block_count(Roi.of_shape([40_000] * 3), (256, 256, 256))
    make(Path("a"), [10_000] * 3, **CHUNK)
    with pytest.raises(KeyboardInterrupt):
        import_volume(Path("a"), Path("out"), progress=stop)
    assert Path("out/.asem").is_dir()
    monkeypatch.setattr(resources, "free_disk_bytes", lambda folder: 10**9 - 1)
    shutil.rmtree("out")
    with pytest.raises(ValueError, match=r"even compressed a thousand times, needs 1 GB of d"):
        import_volume(Path("a"), Path("out"))


def stop(*_):
    raise KeyboardInterrupt


def test_blocks_are_counted_before_they_are_listed():
    step = (1, 1, 1)
    assert sum(1 for _ in split_into_blocks(Roi((0, 0, 0), (4, 3, 2)), step)) == 24
    with pytest.raises(ValueError, match=rf"are {MAX_BLOCKS + 1:,} blocks of 1 x 1 x 1; at most"):
        next(split_into_blocks(Roi((-1, 0, 0), (1, 1, MAX_BLOCKS + 1)), step))
    next(split_into_blocks(Roi((5, 0, 0), (1, 1, MAX_BLOCKS)), step))
    assert not list(split_into_blocks(Roi((5, 0, 0), (0, 1, MAX_BLOCKS + 1)), step))


def test_voxels_of_other_sizes_than_the_model_are_not_all_resampled(tmp_path):
    from asem.volume.voxel_size_view import view_at_voxel_size

    volume = open_volume(make(tmp_path / "a", [64] * 3, size=[1e-4] * 3, **CHUNK))
    with pytest.raises(ValueError, match="check that both are nm"):
        view_at_voxel_size(volume, (5.0, 5.0, 5.0))
    assert np.isfinite(volume.voxel_size).all()
