"""docs/training.md lists every key of a training file, with its limits and both defaults."""

from pathlib import Path

import pytest

from asem.config_errors import describe_field
from asem.model.config import ModelConfig
from asem.model.unet import context, lattice
from asem.training.config import RECIPE_TABLES, TrainConfig
from asem.training.memory_check import min_training_bytes
from asem.training.patch_sampling import patch_output_edge
from asem.training.recipes import FINETUNE_RECIPES, SMALL_STRUCTURES_FINETUNE
from asem.training.region_config import TrainingRegion

PAGE = (Path(__file__).parents[2] / "docs/training.md").read_text()
BASE = {"structure": "mito", "voxel_size": (5, 5, 5), "train": [{"raw": "r", "labels": "l"}]}
RECIPES = {name: TrainConfig(**BASE, recipe=name) for name in ("fast", "paper")}
TABLES = ("", *RECIPE_TABLES)


def rows_below(start):
    """Return the rows of the first table below a text, by their keys."""
    lines = PAGE.partition(start)[2].splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("| key "))
    rows = {}
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            return rows
        key, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[key.strip("`")] = cells
    raise AssertionError(start)


def read_cell(text):
    """Return the value that a cell shows, as text."""
    return text.strip("`").strip('"')


def shown(value):
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("table", TABLES)
def test_every_key_has_a_row_with_its_defaults(table):
    rows = rows_below(f"\n`[{table}]`:" if table else "## Training file")
    configs = [getattr(config, table) if table else config for config in RECIPES.values()]
    fields = type(configs[0]).model_fields
    assert rows.keys() == fields.keys() - {"train", "validation", *RECIPE_TABLES}
    for key, (value, *defaults, meaning) in rows.items():
        expected = [shown(getattr(config, key)) for config in configs]
        if fields[key].is_required():
            expected = ["required"] * 2
        assert [read_cell(cell) for cell in defaults] == expected, key
        assert meaning, key
        limits = describe_field(fields[key]).removeprefix("a ").replace("'", '"')
        limits = limits.replace("1000000000", "10^9").replace("1e+", "10^").replace("^0", "^")
        if not {"structure", "seed"} & {key} and "voxel_size" not in key:
            assert value.replace("`", "") == limits, key


def test_every_key_of_a_region_has_a_row():
    rows = rows_below("`[[train]]` and `[[validation]]`:")
    fields = TrainingRegion.model_fields
    assert rows.keys() == fields.keys()
    for key, (_, default, _) in rows.items():
        assert default == ("required" if fields[key].is_required() else "-")


def test_the_defaults_of_a_fine_tuning_are_stated():
    for key in ("iterations", "validate_every"):
        fast, paper = (f"{FINETUNE_RECIPES[name][key]:,}" for name in RECIPES)
        assert f"`asem finetune`: {fast} (`paper`: {paper})" in PAGE


def test_the_numbers_of_the_choice_of_a_network():
    text = " ".join(PAGE.split())
    depths = [ModelConfig(levels=levels) for levels in (2, 3, 4)]
    assert "context of the network: {}, {} or {} voxels".format(*map(context, depths)) in text
    assert [lattice(config) for config in reversed(depths)] == [8, 4, 2]
    small = TrainConfig(
        **BASE, batch=2, patch=92, model=ModelConfig(features=16, levels=3, norm="batch")
    )
    paper = RECIPES["paper"]
    assert f"of {paper.patch} voxels {patch_output_edge(paper)}, of one of {small.patch} " in text
    assert f"(`levels` = 3) {patch_output_edge(small)}." in text
    needed = [f"{min_training_bytes(config, 4) / 1e9:.1f} GB for" for config in (paper, small)]
    assert all(amount in text for amount in needed)


def test_the_defaults_of_small_structures():
    """Every setting that differs from those of other structures has a row, and no other."""
    rows = rows_below("## Small structures")
    small, other = (TrainConfig(**{**BASE, "structure": name}) for name in ("npc", "mito"))
    expected = {}
    for key in type(small).model_fields.keys() - {"structure"}:
        value, usual = getattr(small, key), getattr(other, key)
        if key not in RECIPE_TABLES:
            expected |= {key: value} if value != usual else {}
            continue
        for name, setting in value:
            if setting != getattr(usual, name):
                expected[f"{key}.{name}"] = setting
    assert {key: read_cell(cells[0]) for key, cells in rows.items()} == {
        key: shown(value) for key, value in expected.items()
    }
    assert f"fine-tuning follows: {SMALL_STRUCTURES_FINETUNE['iterations']}" in PAGE
    rate = SMALL_STRUCTURES_FINETUNE["optimizer"]["learning_rate"]
    assert f"fine-tuning: {rate:g} |" in PAGE
