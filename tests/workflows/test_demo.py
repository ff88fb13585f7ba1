import json
import re
import tomllib
from pathlib import Path

import pytest

from asem.cli import main
from asem.workflows import demo as demo_workflow

SMALL = {"SHAPE": (48, 64, 120), "TRAIN": ":,:,:64", "VALIDATE": ":,:,64:90", "SCORE": ":,:,90:"}


@pytest.mark.slow
def test_the_demo_keeps_its_promise(demo):
    """The whole main job through the public verbs: F1 >= 0.85 on what the network never saw."""
    folder, words = demo
    f1, *others = re.findall(r"(?:F1|precision|recall|IoU) (0\.\d{3})\b", words)
    assert float(f1) >= 0.85
    assert len(others) == 3
    page = (folder / "report.html").read_text()
    assert page.count("<img") == 3
    assert f1 in page
    assert len(list((folder / "tiff/segmentation").iterdir())) == 96


@pytest.mark.slow
def test_the_demo_says_what_to_open_next(demo, asem):
    folder, words = demo
    assert "The demo is finished" in words.splitlines()[0]
    paths = re.findall(rf"{re.escape(str(folder))}\S*", words.replace(";", " "))
    assert len(paths) == 5
    assert all(Path(path).exists() for path in paths)
    (command,) = re.findall(r"^ +asem (info .*)$", words, flags=re.MULTILINE)
    assert asem(*command.split()).returncode == 0
    training_file = tomllib.loads((folder / "train.toml").read_text())
    assert training_file["structure"] == "mito"


@pytest.mark.slow
def test_a_demo_is_replaced_only_when_asked(demo, capsys):
    assert main(["demo", str(demo[0])]) == 2
    assert "exists already" in capsys.readouterr().err


def test_the_result_for_programs(tmp_path, monkeypatch, capsys):
    for name, value in SMALL.items():
        monkeypatch.setattr(demo_workflow, name, value)
    short = demo_workflow.TRAINING_FILE.replace("iterations = 300", "iterations = 2")
    short = short.replace("patch = 76", "patch = 44")
    monkeypatch.setattr(demo_workflow, "TRAINING_FILE", short)
    folder = tmp_path / "with blanks"
    assert main(["demo", str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["report"] == str(folder / "report.html")
    assert result["cell"] == str(folder / "cell.zarr")
    assert set(result["scores"]) == {"exclusion_zone", "all", "zone"}
    assert result["f1"] == result["scores"]["exclusion_zone"]["f1"]
    words = demo_workflow.describe_demo(result)
    assert f"napari '{folder}/cell.zarr'\n" in words
