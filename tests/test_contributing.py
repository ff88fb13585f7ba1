"""The recipes of CONTRIBUTING run, and what they add is found where the page says."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from asem import structures
from asem.annotate import graphcut
from asem.blocks.output_image import create_image
from asem.cli import main
from asem.training import losses
from asem.training.config import TrainConfig
from asem.volume.sources import open_volume
from asem.workflows.importing import import_volume
from shards import small_shards

PAGE = Path(__file__).parent.parent / "CONTRIBUTING.md"


MAX_STATEMENT_LINES, MAX_IMPORT_LINES = 12, 6
"""Lines of a recipe that are not empty: all but imports and docstrings, and imports."""


def read_recipe(title: str) -> str:
    """Return the Python block below a heading."""
    section = PAGE.read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    return code


def run_recipe(title: str) -> dict[str, object]:
    """Execute a recipe; return what it defines."""
    code = read_recipe(title)
    names: dict[str, object] = {"__name__": "recipe"}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def recipe_titles() -> list[str]:
    return re.findall(r"^## (Add .*)$", PAGE.read_text(), flags=re.MULTILINE)


def count_lines(code: str) -> tuple[int, int]:
    """Return the lines of imports, and all others but empty lines and docstrings."""
    tree = ast.parse(code)
    imports, docstrings = set(), set()
    for node in ast.walk(tree):
        lines = range(getattr(node, "lineno", 0), getattr(node, "end_lineno", 0) + 1)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            imports.update(lines)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings.update(lines)
    written = {number for number, line in enumerate(code.splitlines(), 1) if line.strip()}
    return len(imports), len(written - imports - docstrings)


@pytest.mark.parametrize("title", recipe_titles())
def test_a_recipe_takes_about_ten_lines(title):
    imports, others = count_lines(read_recipe(title))
    assert imports <= MAX_IMPORT_LINES
    assert others <= MAX_STATEMENT_LINES


def test_lines_are_counted_without_imports_and_docstrings():
    code = (
        'import a\nfrom b import (\n    c,\n)\n\ndef f():\n    """One."""\n    return 1 + (\n  1)\n'
    )
    assert count_lines(code) == (4, 3)


def test_every_recipe_has_a_test():
    titles = recipe_titles()
    tests = Path(__file__).read_text()
    assert len(titles) == 4
    assert [title for title in titles if f'run_recipe("{title}")' not in tests] == []


def test_a_structure_preset(monkeypatch, capsys):
    monkeypatch.setattr(structures, "PRESETS", dict(structures.PRESETS))
    run_recipe("Add a structure preset")
    assert structures.load_structure("nucleus").zone_out_nm == 20
    assert structures.preset_names().endswith(", nucleus")
    assert main(["labels", "raw", "out", "--structure", "nuclei"]) == 2
    assert "nucleus" in capsys.readouterr().err


def test_a_loss(monkeypatch):
    monkeypatch.setattr(losses, "LOSSES", dict(losses.LOSSES))
    run_recipe("Add a loss")
    settings = {"structure": "mito", "voxel_size": (5, 5, 5), "loss": "focal"}
    TrainConfig(**settings, train=[{"raw": "r", "labels": "l"}])  # the name is allowed
    focal = losses.find_loss("focal")
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 2, (2, 3, 4, 5), generator=generator)
    labelled = torch.rand(target.shape, generator=generator) < 0.5
    right = torch.stack([1.0 - target, 1.0 * target], 1) * 8
    partly = torch.where(labelled[:, None], right, -right)
    assert 0 < focal(right, target, labelled) < 1e-4 < 1 < focal(-right, target, labelled)
    assert focal(partly, target, labelled) == focal(right, target, labelled)


def test_an_energy(monkeypatch):
    """One entry of the table is enough: the settings have a table for it, and regions are cut."""
    monkeypatch.setattr(graphcut, "ENERGIES", dict(graphcut.ENERGIES))
    run_recipe("Add an energy of the graph cut")
    source = Path(graphcut.__file__).read_text()
    assert source.count("\nENERGIES = {") == 1
    names = {"__name__": graphcut.__name__, "NEW": {"grey": graphcut.ENERGIES["grey"]}}
    exec(source.replace("\nENERGIES = {", "\nENERGIES = NEW | {"), names)
    settings = {"energy": "grey", "grey": {"smoothness": 0.05}}
    config = names["GraphCutConfig"].from_dict(settings, source="cut.toml")
    bright = np.zeros((4, 8, 8), bool)
    bright[:, 2:6, 3:7] = True
    noise = np.random.default_rng(0).normal(0, 0.05, bright.shape)
    grey = np.clip(0.3 + 0.4 * bright + noise, 0, 1).astype(np.float32)
    strokes = np.zeros(bright.shape, np.uint8)
    strokes[1, 3, 3:7], strokes[1, 0] = 1, 2
    cut = names["cut_region"](names["prepare_region"](grey, (4.0,) * 3, config), strokes)
    assert (cut.foreground == bright).all()
    assert cut.find_least_certain_voxel() is not None


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Objects and grey values in blocks of 8 voxels, and their arrays."""
    small_shards(8, monkeypatch.setattr)
    rng = np.random.default_rng(0)
    arrays = {"raw": rng.integers(0, 255, (9, 17, 20)), "objects": np.zeros((9, 17, 20))}
    arrays["objects"][2:9, 1:12, 3:19], arrays["objects"][0, 13:, :9] = 1, 7
    arrays = {name: voxels.astype(np.uint8) for name, voxels in arrays.items()}
    for name, kind in (("raw", "image"), ("objects", "labels")):
        tifffile.imwrite(tmp_path / f"{name}.tif", arrays[name], photometric="minisblack")
        import_volume(tmp_path / f"{name}.tif", tmp_path / name, voxel_size=(5.0,) * 3, kind=kind)
    return tmp_path, arrays


def test_a_measurement(images):
    folder, arrays = images
    mean_grey_values = run_recipe("Add a measurement")["mean_grey_values"]
    raw, objects = (open_volume(folder / name) for name in ("raw", "objects"))
    out = folder / "out"
    with create_image(out, objects, command="test", request={}, sources=[]) as output:
        assert len(output.write_blocks()) == 18
        ids, means = mean_grey_values(output, objects, raw)
    assert ids.tolist() == [1, 7]
    assert means == pytest.approx([arrays["raw"][arrays["objects"] == i].mean() for i in ids])
