"""A damaged input or a senseless setting leaves nothing behind: neither output nor parent."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from asem.cli import main
from asem.workflows.importing import import_volume

OUT = "new/deeper/out"
RAW_AND_OTHER = ["--raw", "raw", "--other", "mask", "--within", "9"]
COMMANDS = {
    "import": ["import", "raw", OUT],
    "import labels": ["import", "labels", OUT],
    "clahe": ["clahe", "raw", OUT],
    "mask": ["mask", "raw", OUT],
    "labels": ["labels", "labels", OUT, "--structure", "s.toml"],
    "zone": ["labels", "labels", OUT, "--structure", "s.toml", "--exclusion-zone", "new/zone"],
    "instances": ["instances", "labels", OUT],
    "measure": [
        *("measure", "labels", "--out", OUT, "--raw", "raw"),
        *("--other", "mask", "--within", "9"),
    ],
    "mesh": ["mesh", "labels", OUT],
    "pores": ["pores", "labels", "raw", "--out", OUT],
    "pits": ["pits", "labels", "raw", "--mask", "mask", "--out", OUT],
    "evaluate": ["evaluate", "mask", "labels", "--structure", "s.toml", "--out", OUT],
    "graphcut": ["graphcut", "raw", "strokes", OUT],
    "segment": ["segment", "raw", OUT, "--mask", "mask"],
    "predict": ["predict", "model", "raw", OUT, "--mask", "mask"],
    "predict jobs": ["predict", "--inputs", "jobs.toml"],
    "train": ["train", "train.toml", "--out", OUT],
    "finetune": ["finetune", "model", "finetune.toml", "--out", OUT],
}
JOBS = """
[[input]]
raw = "raw"
model = [{checkpoint = "model", out = "new/first"}]
[[input]]
raw = "raw2"
mask = "mask"
model = [
    {checkpoint = "model", out = "new/second"},
    {checkpoint = "model2", out = "new/deeper/third"},
]
"""
STRUCTURE = """
name = "s"
smallest_nm3 = 5e3
largest_hole_nm3 = 5e3
dilation_nm = 5
zone_out_nm = 10
zone_in_nm = 5
"""


@pytest.fixture(scope="module")
def inputs(cell, run, tmp_path_factory):
    """What all the commands read."""
    folder = tmp_path_factory.mktemp("inputs")
    for name in ("raw", "raw2"):
        shutil.copytree(cell / "cell.zarr/raw", folder / name)
    for name in ("labels", "mask"):
        shutil.copytree(cell / "cell.zarr/labels/mito", folder / name)
    metadata = folder / "mask/zarr.json"
    metadata.write_text(metadata.read_text().replace('"uuid": "', '"uuid": "another '))
    strokes = np.zeros((40, 48, 72), np.uint8)
    strokes[5, 5, 5:9], strokes[30, 30, 30:39] = 1, 2
    tifffile.imwrite(folder / "strokes.tif", strokes)
    options = {"voxel_size": (10.0,) * 3, "kind": "labels"}
    import_volume(folder / "strokes.tif", folder / "strokes", **options)
    checkpoint = next((run / "checkpoints").glob("*3"))
    for name in ("model", "model2"):
        shutil.copytree(checkpoint, folder / name)
    (folder / "jobs.toml").write_text(JOBS)
    (folder / "s.toml").write_text(STRUCTURE)
    text = (cell / "train.toml").read_text()
    text = text.replace("cell.zarr/raw", "raw").replace("cell.zarr/labels/mito", "labels")
    text = text.replace("iterations = 6", "iterations = 1")
    (folder / "train.toml").write_text(text)
    (folder / "finetune.toml").write_text(text)
    return folder


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def empty(path):
    path.write_bytes(b"")


def delete(path):
    path.unlink()


def misspell(path):
    path.write_text(path.read_text() + "\nmispelt = 1\n")


RAW = ["raw/zarr.json", "raw/0/zarr.json"]
LABELS = ["labels/zarr.json", "labels/0/zarr.json"]
MASK = ["mask/zarr.json", "mask/0/zarr.json"]
MODEL = ["model/model.safetensors", "model/state.json"]
READ = {
    "import": RAW,
    "import labels": LABELS,
    "clahe": RAW,
    "mask": RAW,
    "labels": [*LABELS, "s.toml"],
    "zone": [*LABELS, "s.toml"],
    "instances": LABELS,
    "measure": [*LABELS, *RAW, *MASK],
    "mesh": LABELS,
    "pores": [*LABELS, *RAW],
    "pits": [*LABELS, *RAW, *MASK],
    "evaluate": [*LABELS, *MASK, "s.toml"],
    "graphcut": [*RAW, "strokes/zarr.json"],
    "segment": [*RAW, *MASK],
    "predict": [*RAW, *MASK, *MODEL],
    "predict jobs": [*MODEL, *MASK, "raw2/0/zarr.json", "model2/model.safetensors", "jobs.toml"],
    "train": [*RAW, *LABELS, "train.toml"],
    "finetune": [*RAW, *LABELS, *MODEL, "finetune.toml"],
}
DAMAGES = [cut, empty, delete]
CASES = [
    pytest.param(command, file, damage, id=f"{command}-{file}-{damage.__name__}")
    for command, files in READ.items()
    for file in files
    for damage in (DAMAGES if not file.endswith(".toml") else [*DAMAGES[1:], misspell])
    if (file, damage) != ("s.toml", empty)
]


@pytest.fixture
def place(inputs, tmp_path, monkeypatch):
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder):
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize(("command", "file", "damage"), CASES)
def test_a_damaged_input_leaves_nothing(place, capsys, command, file, damage):
    damage(Path(file))
    before = names(place)
    assert main(COMMANDS[command]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("asem: ")
    assert names(place) == before


WRONG = {
    "clahe": [["--kernel", "4"], ["--clip-limit", "-1"], ["--workers", "0"]],
    "mask": [["--above", "200"], ["--config", "none.toml"]],
    "labels": [["--exclusion-zone", OUT], ["--exclusion-zone", "labels"]],
    "zone": [["--zone-shape", "cube"]],
    "instances": [["--min-size", "-1"], ["--sizes", "s.toml"], ["--sizes", "s.toml/new/s.csv"]],
    "measure": [
        *(["--raw", "labels"], ["--raw", "none"], ["--out", "labels"], ["--other", "raw"]),
        *(["--within", value] for value in ("-1", "nan", "1e5", "soon")),
    ],
    "mesh": [["--min-size", "0"], ["--max-error", "-1"], ["--ids", "0"], ["--format", "stl"]],
    "pores": [["--up", "w"], ["--out", "labels"], ["--combine", "labels"], ["--combine"]],
    "pits": [
        ["--plasma-membrane", "mask"],
        ["--out", "labels"],
        ["--combine", "labels"],
        ["--combine"],
    ],
    "evaluate": [["--roi", "9:5,:,:"], ["--cube-nm", "0"], ["--out", "labels"]],
    "graphcut": [["--roi", "0:99,:,:"], ["--roi", "0:1,0:1,0:1"]],
    "segment": [["--threshold", "0"], ["--min-size", "-1"]],
    "predict": [["--tile", "7"], ["--device", "toaster"], ["--roi", "9:5,:,:"]],
    "predict jobs": [["--device", "toaster"]],
    "train": [["--mlflow", "nonsense://x"], ["--resume"], ["--resume-at", "3"]],
    "finetune": [["--resume"]],
    "import": [["--roi", "0:99,:,:"], ["--window", "5,1"], ["--unlabelled", "3"]],
}


@pytest.mark.parametrize(
    ("command", "options"), [(command, each) for command, many in WRONG.items() for each in many]
)
def test_a_wrong_setting_leaves_nothing(place, capsys, command, options):
    before = names(place)
    assert main([*COMMANDS[command], *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("asem: ")
    assert names(place) == before


@pytest.mark.parametrize("command", COMMANDS)
def test_a_repaired_input_is_taken(place, capsys, command):
    """What was refused before it was begun is no other request afterwards."""
    contents = {file: Path(file).read_bytes() for file in READ[command]}
    for file in contents:
        cut(Path(file)) if not file.endswith(".toml") else misspell(Path(file))
        assert main(COMMANDS[command]) == 2
        Path(file).write_bytes(contents[file])
    capsys.readouterr()
    assert main(COMMANDS[command]) == 0, capsys.readouterr().err
