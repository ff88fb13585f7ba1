"""README's commands and code run as they stand, on a small stack."""

import re
import shlex
import shutil
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import tifffile

import funlib
from asem.annotate.graphcut import GraphCutConfig
from asem.cli import main
from asem.phantom.cell import make_cell

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def shortened(training_file):
    """Train for two iterations: whether the file works, not how well."""
    text, number = re.subn(
        r"^iterations = .*$", "iterations = 2", training_file, flags=re.MULTILINE
    )
    assert number == 1
    return text.replace("batch = 2", "batch = 1")


def test_make_has_the_targets_and_ci_calls_the_test_command():
    targets = re.findall(r"^make (\w+)$", blocks("console")[0], flags=re.MULTILINE)
    assert targets == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in targets)
    assert "\nmake test\n" in (ROOT / ".ci/run").read_text()


@pytest.mark.slow
def test_the_demo_leaves_what_start_says(demo, asem):
    folder, words = demo
    page = re.findall(r"leaves `\.demo/(.*?)` with pictures, loss curve and scores", README)
    assert page == ["report.html"]
    assert str(folder / page[0]) in words
    assert asem("demo", folder).returncode == 2


def test_users_install_a_wheel_as_the_demo_does(asem):
    assert "pip install asem " in README
    assert asem("--version").stdout.strip() == metadata.version("asem")


def test_every_relative_link_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links)


def test_use_it_on_your_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    raw, labels = make_cell((6, 24, 800), (5.0, 5.0, 5.0), np.random.default_rng(5))
    strokes = np.where(labels > 0, 1, 2)
    strokes[[0, 1, 3, 4, 5]] = strokes[:, :, ::3] = 0
    for name, voxels in (("stack", raw), ("mito_labels", labels), ("strokes", strokes)):
        Path(name).mkdir()
        for number, plane in enumerate(voxels):
            tifffile.imwrite(f"{name}/{name}_{number}.tif", plane.astype(np.uint8))
    training_file, another_cell, whole_cell = blocks("toml")
    Path("mito.toml").write_text(shortened(training_file))
    Path("mito_cell2.toml").write_text("iterations = 2\nvalidate_every = 1\n" + another_cell)
    Path("whole_cell.toml").write_text(whole_cell)
    commands = [line for block in blocks("console")[1:] for line in block.splitlines()]
    assert len(commands) == 22
    funlib.save("model_checkpoint_1847_mito_CF.pt", funlib.random_state(levels=2))
    for command in commands:
        program, *words = shlex.split(command)
        if words[0] == "finetune":
            shutil.copytree("cell.zarr", "cell2.zarr")
            shutil.copytree("runs/mito", "runs/er")
        assert program == "asem"
        assert main(words) == 0, capsys.readouterr().err
    assert len(list(Path("segmentation_planes").iterdir())) == len(raw)
    capsys.readouterr()
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})
    mean = np.pad(raw, [(0, 10), (0, 0), (0, 0)], mode="reflect")[:, :16, 600:616].mean()
    assert float(capsys.readouterr().out.split()[0]) == pytest.approx(mean)


def test_the_measured_example_is_the_training_file_shown():
    shown, *_ = blocks("toml")
    example = (ROOT / "examples/epfl_mito.toml").read_text()

    def settings(text):
        lines = (line.split("#")[0].strip() for line in text.splitlines())
        return [line for line in lines if line and not line.startswith(("raw", "labels"))]

    assert settings(shown) == settings(example)


def test_the_page_on_annotation_works_as_it_stands(capsys):
    page = (ROOT / "docs/annotation.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    exec(compile(code, "docs/annotation.md", "exec"), {})
    assert re.fullmatch(r"\d+ \(\d+, \d+, \d+\)\n", capsys.readouterr().out)
    for row in re.findall(r"^\| `(.*? = .*?)` \|", page, flags=re.MULTILINE):
        given = GraphCutConfig.checked(tomllib.loads(row), source="docs/annotation.md")
        told = row.startswith(("mixture", "energy"))
        assert told or given == GraphCutConfig(), f"{row} is not the default"
