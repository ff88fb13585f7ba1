"""Absurd values of every numeric option: a result, or one line and code 2."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from asem.annotate.graphcut import GraphCutConfig
from asem.cli import main
from asem.cli.app import build_app
from asem.image.sample_mask import MaskConfig
from asem.structures import Structure
from asem.volume.sources import open_volume
from asem.workflows.importing import import_volume
from extremes import BOXES, LONGEST_LINE, NUMBERS, TRIPLES, bounded, fields_of

COMMANDS = {
    "demo": "raw",
    "import": "raw.tif out",
    "info": "raw",
    "clahe": "raw out",
    "mask": "raw out",
    "phantom": "out --shape 41 --voxel-size 20",
    "graphcut": "raw strokes out",
    "annotate": "nowhere",
    "labels": "labels out --structure mito",
    "train": "train.toml --out run",
    "finetune": "run train.toml --out out",
    "predict": "run raw out",
    "segment": "raw out",
    "instances": "labels out",
    "measure": "labels --out out",
    "mesh": "labels out",
    "pores": "labels raw --out out",
    "pits": "labels raw --plasma-membrane labels --out out",
    "evaluate": "labels labels",
    "export": "raw out",
    "view": "raw",
    "migrate": "data.json",
    "models convert": "nowhere.pt out --structure mito --voxel-size 5",
    "models export": "run out.onnx --format onnx",
}
TEXTS = {
    "--voxel-size": TRIPLES,
    "--shape": TRIPLES,
    "--offset-nm": TRIPLES,
    "--position": TRIPLES,
    "--size": (*NUMBERS, "64,64", "1e3,64", "64,-64", "99999999999999999999,64", "64,64,64"),
    "--roi": BOXES,
    "--window": (*NUMBERS, "-1e300,1e300", "0,1e-320", "5,5", "9,1", "nan,1", "1,2,3"),
    "--unlabelled": NUMBERS,
    "--channel": NUMBERS,
    "--ids": (*NUMBERS, "1-", "5-2", "1,,2", "1-18446744073709551614", "1-18446744073709551615"),
}
"""Options of text that hold numbers."""
NO_NUMBERS = {
    "--prediction",
    "--scheduler",
    "--structure",
    "--device",
    "--mlflow",
    "--license",
    "--author",
    "--title",
}
NEEDED = {"--zone-out-nm": ["--zone-in-nm", "5"], "--zone-in-nm": ["--zone-out-nm", "5"]}
NEEDED |= {"--min-contact-strength": ["--split"], "--curve-nm": ["--curves"]}
NEEDED |= {"--size": ["--screenshot", "picture.gif"]}
"""What an option needs beside it."""
OFTEN = {"--workers": "clahe", "--roi": "import"}
"""Options of several commands that are read in one place: all values are tried there only."""
FOLDERS = (
    "view",
    "phantom",
    "measure",
    "mesh",
    "pores",
    "pits",
    "train",
    "finetune",
    "export",
    "models export",
)
"""Commands whose result is no image."""


def options_of(app, before=()):
    """Yield the words, the name and the type of each option that takes a value."""
    for name in app:
        if name.startswith("-"):
            continue
        if app[name].default_command is None:
            yield from options_of(app[name], (*before, name))
            continue
        for option in app[name].assemble_argument_collection():
            if option.names[0].startswith("--") and "bool" not in str(option.hint):
                yield " ".join((*before, name)), option.names[0], str(option.hint)


OPTIONS = list(options_of(build_app()))


def values_of(option, hint):
    """Return what to try, or nothing for an option that holds no number."""
    if option in TEXTS:
        return TEXTS[option]
    return NUMBERS if "int" in hint or "float" in hint else ()


CASES = [
    (command, option, values_of(option, hint)[:: 1 if OFTEN.get(option, command) == command else 8])
    for command, option, hint in OPTIONS
    if values_of(option, hint)
]


def test_each_option_is_known_here():
    for command, option, hint in OPTIONS:
        number = "int" in hint or "float" in hint or option in TEXTS
        is_place = "Path" in hint or "Address" in hint
        assert number or is_place or "Literal" in hint or option in NO_NUMBERS, option
        assert not number or command in COMMANDS


@pytest.fixture(scope="module")
def inputs(cell, run, tmp_path_factory):
    """Small images, and a run."""
    folder = tmp_path_factory.mktemp("inputs")
    part = (slice(8), slice(16), slice(12))
    grey = open_volume(cell / "cell.zarr/raw").array[part]
    found = open_volume(cell / "cell.zarr/labels/mito").array[part]
    strokes = np.zeros(grey.shape, np.uint8)
    strokes[4, 2:4, 2:4], strokes[4, 12:14, 8:10] = 1, 2
    for name, voxels, kind in (
        ("raw", grey, "image"), ("labels", found, "labels"), ("strokes", strokes, "labels"),
    ):  # fmt: skip
        tifffile.imwrite(folder / f"{name}.tif", voxels)
        unlabelled = {"kind": kind}
        import_volume(folder / f"{name}.tif", folder / name, voxel_size=(10.0,) * 3, **unlabelled)
    shutil.copytree(run, folder / "run")
    text = (cell / "train.toml").read_text()
    (folder / "train.toml").write_text(text.replace('"cell.zarr', f'"{cell}/cell.zarr'))
    dataset = {"file": "a.zarr", "raw": "raw", "voxel_size": [5] * 3, "labels": {"er": 1}}
    (folder / "data.json").write_text(json.dumps({"a": dataset}))
    return folder


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr("asem.blocks.executors.RETRY_INTERVAL_S", 0)
    monkeypatch.setattr("asem.workflows.view.wait_for_interrupt", lambda: None)


def words_of(command, option, value):
    words = [*command.split(), *COMMANDS[command].split(), *NEEDED.get(option, [])]
    if command == "import":
        words += ["--kind", "labels"] if option in ("--unlabelled", "--ids") else []
        words += [] if option == "--voxel-size" else ["--voxel-size", "10"]
    while option in words:  # what the command has by itself
        at = words.index(option)
        del words[at : at + 2]
    return [*words, f"{option}={value}"]


def fault_of(command, code, err, out):
    """Return what is wrong with how a command ended, or nothing."""
    lines = [line for line in err.splitlines() if not re.match(r"[a-z0-9 ]+: \d+%, ", line)]
    if code == 2 and not (len(lines) == 1 and lines[0].startswith("asem: ")):
        return f"not one line: {err:.300}"
    if code == 2 and len(lines[0]) >= LONGEST_LINE:
        return f"a long line: {err:.100}"
    if code == 2:
        return "something is left" if out.exists() else ""
    if code == 0 and command not in FOLDERS and out.exists():
        image = open_volume(out)
        return "" if image.read(image.roi).size else "an empty result"
    return "" if code == 0 else f"exit code {code}"


@pytest.mark.parametrize(("command", "option", "values"), CASES)
def test_extreme_numbers(command, option, values, inputs, monkeypatch, capsys):
    monkeypatch.chdir(inputs)
    out, faults = Path("out"), {}
    for value in values:
        try:
            with bounded():
                code = main(words_of(command, option, value))
            fault = fault_of(command, code, capsys.readouterr().err, out)
        except (ArithmeticError, LookupError, MemoryError, TypeError, TimeoutError) as error:
            fault = repr(error)
        if fault:
            faults[f"{value:.30}"] = fault
        shutil.rmtree(out, ignore_errors=True)
    assert not faults


FILES = {
    MaskConfig: ("mask raw out --config s.toml", {}),
    Structure: ("labels labels out --exclusion-zone zone --structure s.toml", {"name": '"s"'}),
    GraphCutConfig: ("graphcut raw strokes out --config s.toml", {}),
}
IN_FILES = ("0", "-1", "-0.0", "1e-300", "1e300", "1e400", "nan", "inf", str(2**63), "9" * 400)


@pytest.mark.parametrize(
    ("cls", "where"),
    [(cls, where) for cls in FILES for where, _ in fields_of(cls)],
    ids=lambda value: str(getattr(value, "__name__", value)),
)
def test_extreme_numbers_in_files(cls, where, inputs, monkeypatch, capsys):
    monkeypatch.chdir(inputs)
    out, faults = Path("out"), {}
    words, others = FILES[cls]
    *tables, name = where
    for value in IN_FILES:
        lines = [f"{key} = {text}" for key, text in others.items()]
        lines += ['energy = "paper"'] if "paper" in tables else []
        lines += [f"[{'.'.join(tables)}]"] if tables else []
        Path("s.toml").write_text("\n".join([*lines, f"{name} = {value}\n"]))
        with bounded():
            code = main(words.split())
        fault = fault_of(words, code, capsys.readouterr().err, out)
        if fault:
            faults[f"{value:.30}"] = fault
        for image in (out, Path("zone")):
            shutil.rmtree(image, ignore_errors=True)
    assert not faults
