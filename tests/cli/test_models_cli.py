"""`asem models` in-process."""

import json

import pytest

import funlib
from asem.cli import main


@pytest.fixture
def asem(capsys):
    def run(*words):
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def checkpoint(tmp_path):
    return funlib.save(tmp_path / "m.pt", funlib.random_state(levels=2))


def test_list(asem):
    code, out, _ = asem("models", "list", "--json")
    result = json.loads(out)
    assert code == 0
    assert [model["number"] for model in result["models"]] == [
        1847, 1837, 1841, 1675, 1669, 1986, 2000,
    ]  # fmt: skip
    assert result["models"][3] == {
        "number": 1675,
        "structure": "mito",
        "preparation": "HPFS",
        "voxel_size": [4, 4, 4],
        "voxel_size_range": [[3.2, 4, 4], [5.24, 4, 4]],
    }
    assert result["models"][0]["voxel_size_range"] is None
    assert result["published_at"].startswith("https://open.quiltdata.com/b/asem-project")
    code, out, _ = asem("models", "list")
    assert code == 0
    assert "1986 ccp HPFS 5 x 5 x 5" in " ".join(out.split())
    assert "1675 mito HPFS 3.2-5.24 x 4 x 4" in " ".join(out.split())
    assert "HPFS: high-pressure freezing and freeze substitution" in out


def test_convert_predict_export(asem, checkpoint, cell, tmp_path):
    model, raw = tmp_path / "mito", cell / "cell.zarr/raw"
    options = ["--structure", "mito", "--voxel-size", "10"]
    code, out, err = asem("models", "convert", checkpoint, model, *options, "--json")
    assert code == 0, err
    assert json.loads(out)["voxel_size"] == [10, 10, 10]
    assert asem("predict", model, raw, tmp_path / "p", "--roi", "0:8,0:8,0:8")[0] == 0
    code, out, err = asem("models", "export", model, tmp_path / "m.onnx", "--format", "onnx")
    assert code == 0, err
    assert "smallest" in out
    assert (tmp_path / "m.onnx").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["convert", "{pt}", "{tmp}/m"], "give --structure NAME and --voxel-size z,y,x, or --publ"),
        (["convert", "nowhere", "{tmp}/m", "--published", "1847"], "there is nothing at nowhere"),
        (["convert", "{pt}", "{pt}", "--published", "1847"], "is not a converted model"),
        (
            ["convert", "{tmp}", "{tmp}/m", "--published", "1847"],
            "is a folder; a regular file",
        ),
        (["convert", "{pt}", "{tmp}/m", "--structure", "er", "--voxel-size", "1,2"], "--voxel-siz"),
        (["export", "{tmp}", "{tmp}/m", "--format", "onnx"], "is no checkpoint"),
        (["export", "{tmp}", "{tmp}/m", "--format", "pdf"], "pdf"),
        (["export", "{tmp}", "{tmp}/m"], "--format"),
        (["lists"], "lists"),
    ],
)
def test_faults(asem, checkpoint, tmp_path, words, message):
    before = sorted(tmp_path.iterdir())
    code, out, err = asem("models", *(word.format(pt=checkpoint, tmp=tmp_path) for word in words))
    assert (code, out) == (2, "")
    assert err.startswith("asem: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(tmp_path.iterdir()) == before


def test_help(asem):
    code, out, _ = asem("models", "--help")
    assert code == 0
    assert all(verb in out for verb in ("list", "convert", "export"))
    assert "only tensors are loaded" in " ".join(asem("models", "convert", "--help")[1].split())
