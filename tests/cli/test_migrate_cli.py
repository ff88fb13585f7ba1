"""`asem migrate` in-process."""

import json
import tomllib

import pytest

from asem.cli import main

DATASET = {
    "cell_6": {
        "file": "cell_6/cell_6.zarr",
        "offset": [400, 926, 2512],
        "shape": [241, 476, 528],
        "voxel_size": [5, 5, 5],
        "raw": "volumes/raw_equalized_0.02",
    }
}


@pytest.fixture
def asem(capsys):
    def run(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "cell6.json"
    path.write_text(json.dumps(DATASET))
    return path


def test_toml_on_stdout_and_notes_on_stderr(asem, config):
    code, out, err = asem("migrate", config)
    assert code == 0
    assert tomllib.loads(out)["input"][0]["roi"] == "400:641,926:1402,2512:3040"
    assert err.startswith("assumption:\n  file = ")
    assert "--model sets a model of asem models convert" in err


def test_a_file(asem, config, tmp_path):
    out = tmp_path / "predict.toml"
    words = ("migrate", config, "--out", out, "--data-folder", "s3://b/d", "--model", "m")
    assert asem(*words)[:2] == (0, f"{out}\n")
    assert "s3://b/d/cell_6/cell_6.zarr" in out.read_text()
    code, _, err = asem(*words)
    assert (code, err.count("\n")) == (2, 1)
    assert asem(*words, "--overwrite")[0] == 0


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def fail(*_):
        raise OSError("no network")

    monkeypatch.setattr("asem.workflows.migrate_roi.open_source_image", fail)


def test_json(asem, config):
    code, out, err = asem("migrate", config, "--json")
    result = json.loads(out)
    assert (code, err, result["kind"], result["file"]) == (0, "", "predict", None)
    assert {note["key"] for note in result["notes"]} >= {"checkpoint", "cell_6.offset"}


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 1}', '{"a": {"file": "x"}}'])
def test_errors_are_one_line(asem, tmp_path, text):
    (tmp_path / "bad.json").write_text(text)
    code, out, err = asem("migrate", tmp_path / "bad.json", "--out", tmp_path / "t.toml")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "bad.json" in err
    assert not (tmp_path / "t.toml").exists()


def test_a_missing_file_is_an_error(asem, tmp_path):
    code, _, err = asem("migrate", tmp_path / "no.json")
    assert (code, err.count("\n")) == (2, 1)
