"""The commands in-process: what they print, and one line with exit code 2 for every fault."""

import json
import re
import shutil

import numpy as np
import pytest
import tifffile

from asem.cli import main

SIZE = ["--voxel-size", "10"]


@pytest.fixture
def asem(capsys):
    def run(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def planes(tmp_path):
    folder = tmp_path / "planes"
    folder.mkdir()
    for number in range(5):
        tifffile.imwrite(folder / f"p_{number}.tif", np.full((6, 7), number, np.uint8))
    return folder


def fails(result, *parts):
    """One line on stderr that holds `parts`, nothing on stdout, exit code 2."""
    code, out, err = result
    lines = [line for line in err.splitlines() if not re.match(r"[a-z0-9 ]+: \d+%, ", line)]
    assert code == 2, err
    assert out == ""
    assert len(lines) == 1, err
    assert lines[0].startswith("asem: ")
    for part in parts:
        assert part in lines[0]


def test_import_info_export(asem, planes, tmp_path):
    code, out, _ = asem("import", planes, tmp_path / "c.zarr/raw", *SIZE, "--json")
    assert (code, json.loads(out)["shape"]) == (0, [5, 6, 7])
    code, out, _ = asem("info", tmp_path / "c.zarr/raw", "--json")
    fields = json.loads(out)
    assert fields["voxel_size"] == [10, 10, 10]
    assert set(fields) >= {
        "shape", "dtype", "voxel_size", "offset_nm", "levels", "chunk", "shard",
    }  # fmt: skip
    code, out, _ = asem("info", tmp_path / "c.zarr/raw")
    assert code == 0
    assert "uint8" in out
    code, out, _ = asem("export", tmp_path / "c.zarr/raw", tmp_path / "out", "--json")
    assert json.loads(out)["planes"] == 5


def test_an_offset_may_be_negative(asem, planes, tmp_path):
    words = ["import", planes, tmp_path / "a", *SIZE, "--offset-nm", "-5,0.5,-7", "--json"]
    assert json.loads(asem(*words)[1])["offset_nm"] == [-5, 0.5, -7]


def test_the_main_job(asem, cell, tmp_path):
    shutil.copytree(cell / "cell.zarr", tmp_path / "cell.zarr")
    shutil.copy(cell / "train.toml", tmp_path)
    code, out, err = asem("train", tmp_path / "train.toml", "--out", tmp_path / "run", "--json")
    assert code == 0, err
    assert json.loads(out)["iteration"] == 6
    assert "training: 100%" in err
    base = tmp_path / "cell.zarr"
    assert asem("predict", tmp_path / "run", base / "raw", base / "p", "--tile", 24)[0] == 0
    assert asem("segment", base / "p", base / "s", "--min-size", 5)[0] == 0
    code, out, _ = asem(
        "evaluate", base / "s", base / "labels/mito", "--structure", "mito", "--json"
    )
    assert code == 0
    scores = json.loads(out)
    assert set(scores["all"]) == set(scores["exclusion_zone"]) == {
        "precision", "recall", "f1", "iou", "voxels",
    }  # fmt: skip


def test_help_and_version(asem):
    code, out, _ = asem("predict", "--help")
    assert code == 0
    assert "smaller needs less memory" in " ".join(out.split())
    assert asem("--version")[1].strip()


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["predikt"], ["predikt", 'Did you mean "predict"?']),
        (["models", "lst"], ['Did you mean "list"?']),
        (["info"], ["IMAGE"]),
        (["info", "a", "--colour"], ["--colour"]),
        (["import", "a", "b", "--voxelsize", "5"], ["Did you mean --voxel-size?"]),
        (["info", "nowhere"], ["there is nothing at nowhere"]),
        (["train", "nowhere.toml"], ["asem: there is no training file nowhere.toml"]),
        (["finetune", "{planes}", "nowhere.toml"], ["is no checkpoint"]),
        (["predict", "--inputs", "no.toml"], ["--inputs: there is no list of inputs no.toml"]),
        (
            ["mask", "a", "b", "--config", "no.toml"],
            ["--config: there is no settings file no.toml"],
        ),
        (
            ["graphcut", "a", "b", "c", "--config", "no.toml"],
            ["--config: there is no settings file"],
        ),
        (
            ["clahe", "a", "b", "--scheduler", "no.toml"],
            ["--scheduler: there is nothing at no.toml"],
        ),
        (
            ["labels", "a", "b", "--structure", "no.toml"],
            ["--structure: there is no structure file"],
        ),
        (["labels", "a", "b", "--structure", "mitos"], ["did you mean 'mito'?"]),
        (["predict", "a", "b", "c", "--precision", "64"], ["64"]),
        (["predict", "a", "b", "c", "--precision", "bf1"], ['Did you mean "bf16"?']),
        (["import", "{planes}", "{tmp}/a"], ["give --voxel-size z,y,x in nm"]),
        (["import", "{planes}", "{tmp}/a", "--voxel-size", "5,5"], ["--voxel-size 5,5", "three"]),
        (["import", "{planes}", "{tmp}/a", "--voxel-size", "0"], ["must be positive"]),
        (["import", "{planes}", "{tmp}/a", "--voxel-size", "8", "4", "4"], ["--voxel-size 8,4,4"]),
        (["import", "--voxel-size", "8,", "4,", "4", "{planes}", "{tmp}/a"], ["size 8,4,4"]),
        (["import", "{planes}", "{tmp}/a", *SIZE, "--offset-nm", "5", "-5", "0"], ["nm 5,-5,0"]),
        (["predict", "a", "b", "c", "--roi", "0:9", ":", "5:"], ["commas, --roi 0:9,:,5:"]),
        (["import", "{planes}", "{tmp}/a", *SIZE, "--roi", "0:9,:,:"], ["leaves the volume"]),
        (["import", "{planes}", "{tmp}/a", *SIZE, "--roi", "0:x,:,:"], ["is no ROI"]),
        (["import", "{empty}", "{tmp}/a", *SIZE], ["is no image in a format"]),
        (["import", "{planes}", "{tmp}/a", "--voxel-size", "nan"], ["--voxel-size nan"]),
        (["import", "{planes}", "{tmp}/a", *SIZE, "--offset-nm", "-inf"], ["--offset-nm -inf"]),
        (["demo", "{planes}"], ["exists already"]),
        (["demo", "{planes}", "--overwrite"], ["is not a demo of asem"]),
    ],
)
def test_faults(asem, planes, tmp_path, words, parts):
    (tmp_path / "empty").mkdir()
    places = {"planes": planes, "empty": tmp_path / "empty", "tmp": tmp_path}
    before = sorted(tmp_path.rglob("*"))
    fails(asem(*(word.format(**places) for word in words)), *parts)
    assert sorted(tmp_path.rglob("*")) == before


def unequal_shape(folder):
    tifffile.imwrite(folder / "p_3.tif", np.zeros((6, 8), np.uint8))
    return "p_3.tif has 6 x 8 pixels"


def unequal_dtype(folder):
    tifffile.imwrite(folder / "p_3.tif", np.zeros((6, 7), np.uint16))
    return "p_3.tif is uint16"


def colour(folder):
    tifffile.imwrite(folder / "p_3.tif", np.zeros((6, 7, 3), np.uint8), photometric="rgb")
    return "colour"


def missing(folder):
    (folder / "p_3.tif").unlink()
    return "number 3"


def truncated(folder):
    data = (folder / "p_3.tif").read_bytes()
    (folder / "p_3.tif").write_bytes(data[:-5])
    return "p_3.tif, page 1 of 1, is truncated"


@pytest.mark.parametrize("harm", [unequal_shape, unequal_dtype, colour, missing, truncated])
def test_bad_planes_create_nothing(asem, planes, tmp_path, harm):
    message = harm(planes)
    fails(asem("import", planes, tmp_path / "c.zarr/raw", *SIZE), message)
    assert not (tmp_path / "c.zarr").exists()


def test_what_exists_is_refused_without_overwrite(asem, planes, tmp_path):
    assert asem("import", planes, tmp_path / "a", *SIZE)[0] == 0
    fails(asem("import", planes, tmp_path / "a", *SIZE), "exists already; give --overwrite")
    assert asem("import", planes, tmp_path / "a", *SIZE, "--overwrite")[0] == 0


def test_bad_training_files(asem, cell, planes, tmp_path):
    text = (cell / "train.toml").read_text().replace('"cell.zarr', f'"{cell}/cell.zarr')
    assert (
        asem("import", planes, tmp_path / "far", *SIZE, "--offset-nm", 9000, "--kind", "labels")[0]
        == 0
    )
    assert asem("import", planes, tmp_path / "fine", "--voxel-size", 5, "--kind", "labels")[0] == 0
    labels = f'"{cell}/cell.zarr/labels/mito"'
    for old, new, message in (
        ("features = 2", "feature = 2", "unknown key 'model.feature'"),
        ('structure = "mito"', 'structure = "mitos"', "unknown structure 'mitos'"),
        ("patch = 24", "patch = 29", "'patch': 29 voxels do not fit"),
        ('roi = ":,:,:48"', 'roi = ":,:,:480"', "leaves the volume"),
        (labels, f'"{tmp_path}/far"', "have no voxel in common"),
        (labels, f'"{tmp_path}/fine"', "must have one voxel size"),
        (labels, '"nowhere"', f"{tmp_path}/t.toml: 'labels' of [[train]]: there is nothing at"),
        (
            'structure = "mito"',
            'structure = "n.toml"',
            "t.toml: 'structure': there is no structure",
        ),
        ("learning_rate = 1e-2", "learning_rat = 1", "did you mean 'learning_rate'?"),
        ("[10, 10, 10]", "10", "t.toml: 'voxel_size': give three lengths in nm, z, y, x"),
        ('loss = "cross_entropy+dice"', 'loss = "dice"', "t.toml: 'loss': there is no loss 'dice'"),
        ("[model]", "[model", "is not valid TOML"),
    ):
        assert old in text
        (tmp_path / "t.toml").write_text(text.replace(old, new))
        fails(asem("train", tmp_path / "t.toml", "--out", tmp_path / "run"), message)
        assert not (tmp_path / "run").exists()


def test_data_of_another_voxel_size_is_resampled_or_refused(asem, cell, run, tmp_path):
    asem("import", cell / "raw.tif", tmp_path / "raw", "--voxel-size", "8,10,10")
    words = ("predict", run, tmp_path / "raw", tmp_path / "p")
    message = "8 x 10 x 10 nm, the model of 10 x 10 x 10 nm, and resampling is switched off"
    fails(asem(*words, "--no-resample"), message)
    assert not (tmp_path / "p").exists()
    code, _, err = asem(*words)
    assert code == 0
    assert "voxels of 8 x 10 x 10 nm are interpolated to" in " ".join(err.split())


def test_what_is_no_checkpoint(asem, cell, tmp_path):
    raw = cell / "cell.zarr/raw"
    fails(asem("predict", raw, raw, tmp_path / "p"), "is no checkpoint")
    assert not (tmp_path / "p").exists()


def test_an_interruption_is_no_traceback(asem, monkeypatch, tmp_path):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("asem.workflows.describe.describe_volume", interrupt)
    code, _, err = asem("info", tmp_path)
    assert code == 130
    assert "run the same command again to resume" in err


def test_what_was_interrupted_is_not_overwritten_by_the_same_words(asem, monkeypatch, tmp_path):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("asem.workflows.train.train_model", interrupt)
    code, _, err = asem("train", tmp_path / "mito.toml", "--overwrite")
    assert code == 130
    assert "run the same command again without --overwrite to resume" in err
