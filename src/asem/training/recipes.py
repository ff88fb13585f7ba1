"""The recipes `fast` and `paper`: default settings of a training, merged with its training file.

Does not import torch (commands start faster).
"""

from collections.abc import Mapping
from typing import Any

from asem.config import Config
from asem.structures import PRESETS, Structure

DEFAULT_RECIPE = "fast"
OPTIMIZER_DEFAULTS: dict[str, dict[str, Any]] = {
    # Training: Pipeline details.
    "adam": {"learning_rate": 3e-5, "weight_decay": 3e-5, "warmup": 0, "average": 0},
    # benchmarks/README.md, "Score against time".
    "adamw": {"learning_rate": 2e-3, "weight_decay": 1e-2, "warmup": 50, "average": 0.99},
}
"""Tuned settings of each optimizer."""
RECIPES: dict[str, dict[str, Any]] = {
    # The defaults of `TrainConfig` are the paper's.
    "paper": {"optimizer": {"name": "adam", **OPTIMIZER_DEFAULTS["adam"]}},
    # benchmarks/README.md, "Score against time", has the score they reach together.
    "fast": {
        "iterations": 20_000,
        "validate_every": 500,
        "loss": "cross_entropy+dice",
        "compile": "auto",
        "optimizer": {"name": "adamw", **OPTIMIZER_DEFAULTS["adamw"]},
        "augment": {
            "rotate_p": 0.5,
            "scale": 0.1,
            "elastic_p": 0.5,
            "contrast": 0.2,
            "drift": 0.05,
            "gamma": 0.3,
            "noise": 0.05,
            "blur_nm": 8,
        },
    },
}
SMALL_STRUCTURES: dict[str, Any] = {
    # benchmarks/README.md, "Small structures", has the scores of objects they reach. Cross entropy
    # with Dice alone stays at the background from random weights.
    "iterations": 5000,
    "validate_every": 250,
    "batch": 2,
    "patch": 56,
    "loss": "balanced",
    "model": {"features": 16, "levels": 2, "norm": "batch"},
    "optimizer": {"learning_rate": 4e-3, "schedule": "cosine"},
    "sampling": {"at_objects": 0.5, "reject": 0, "widen_nm": 10, "tolerance_nm": 10},
}
"""Settings of the recipe `fast` for structures of thin annotations."""
SHORT_TRAININGS = {"ccp": {"iterations": 500, "validate_every": 100}}
"""Settings of small structures that are learned faster, by name."""
SMALL_STRUCTURES_FINETUNE: dict[str, Any] = {
    # The balanced loss finds all objects, and more; this one leaves out what are none.
    "iterations": 400,
    "validate_every": 100,
    "loss": "cross_entropy+dice",
    "optimizer": {"learning_rate": 2e-3},
}
"""Settings of their fine-tuning, also on the same annotations."""
FINETUNE_RECIPES: dict[str, dict[str, Any]] = {
    # Fine-tuning: 15,000 iterations at most; 5,000 to 10,000 were enough.
    "paper": {"iterations": 15_000, "validate_every": 500},
    "fast": {"iterations": 2_000, "validate_every": 100},
}


class ResolvedSettings(dict[str, Any]):
    """The settings of a training as they were written: no recipe changes or completes them."""


def complete_settings(
    settings: Mapping[str, Any], table_defaults: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the settings of a training with what its recipe states for those left out.

    Parameters
    ----------
    settings
        Of a file or of Python, where a table may be a `Config`: the fields that were set are those
        of a table in a file.
    table_defaults
        Defaults of each table, for settings that neither the file nor the recipe states.

    Examples
    --------
    >>> full = complete_settings({"patch": 92, "optimizer": {"warmup": 7}})
    >>> full["patch"], full["loss"], full["optimizer"]["warmup"], full["optimizer"]["name"]
    (92, 'cross_entropy+dice', 7, 'adamw')
    """
    name = str(settings.get("recipe", DEFAULT_RECIPE))
    recipe = RECIPES.get(name, {})
    if name == "fast" and has_thin_annotations(settings.get("structure")):
        recipe = merge_settings(recipe, SMALL_STRUCTURES)
        recipe = merge_settings(recipe, SHORT_TRAININGS.get(str(settings.get("structure")), {}))
    given = {
        key: value.model_dump(exclude_unset=True) if isinstance(value, Config) else value
        for key, value in settings.items()
    }
    full = merge_settings(recipe, given)
    for name, defaults in (table_defaults or {}).items():
        table = full.get(name, {})
        if isinstance(table, Mapping):
            full[name] = {**defaults, **table}
    return full


def finetune_settings(recipe: str, structure: Any) -> dict[str, Any]:
    """Return what a fine-tuning with this recipe does otherwise than the first training.

    Parameters
    ----------
    recipe
        Its name.
    structure
        As in `has_thin_annotations`.
    """
    if recipe == "fast" and has_thin_annotations(structure):
        return SMALL_STRUCTURES_FINETUNE
    return FINETUNE_RECIPES.get(recipe, {})


def has_thin_annotations(structure: Any) -> bool:
    """Return whether a structure is annotated with single rows of voxels: has `centre_line_nm`.

    Parameters
    ----------
    structure
        Name of a preset, settings of a structure, or a `Structure`; False for anything else.

    Examples
    --------
    >>> has_thin_annotations("npc"), has_thin_annotations("mito")
    (True, False)
    """
    preset = PRESETS.get(structure) if isinstance(structure, str) else structure
    if isinstance(preset, Structure):
        return preset.centre_line_nm is not None
    return isinstance(preset, Mapping) and preset.get("centre_line_nm") is not None


def merge_settings(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of `base` with what `overrides` says instead or besides.

    If `overrides` names another optimizer, the optimizer settings of `base` are ignored; missing
    ones are the defaults of the new optimizer (`OPTIMIZER_DEFAULTS`).

    Examples
    --------
    >>> merged = merge_settings(RECIPES["fast"], {"optimizer": {"name": "adam"}})
    >>> merged["optimizer"]["learning_rate"]
    3e-05
    """
    out = {**base, **overrides}
    for key in base.keys() & overrides.keys():
        mine, other = overrides[key], base[key]
        if not (isinstance(mine, Mapping) and isinstance(other, Mapping)):
            continue
        if key == "optimizer" and mine.get("name", other.get("name")) != other.get("name"):
            other = OPTIMIZER_DEFAULTS.get(str(mine["name"]), {})
        out[key] = merge_settings(other, mine)
    return out
