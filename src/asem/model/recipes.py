"""Recipes: what a training file leaves out. Loads no torch."""

from collections.abc import Mapping
from typing import Any

from asem.config import Config

DEFAULT = "fast"
OPTIMIZERS: dict[str, dict[str, Any]] = {
    # Training: Pipeline details.
    "adam": {"learning_rate": 3e-5, "weight_decay": 3e-5, "warmup": 0, "average": 0},
    # benchmarks/README.md, "Score against time".
    "adamw": {"learning_rate": 2e-3, "weight_decay": 1e-2, "warmup": 50, "average": 0.99},
}
"""What each optimizer was tuned to; none takes over numbers of another."""
RECIPES: dict[str, dict[str, Any]] = {
    # The defaults of `TrainConfig` are the paper's.
    "paper": {"optimizer": {"name": "adam", **OPTIMIZERS["adam"]}},
    # benchmarks/README.md, "Score against time", has the score they reach together.
    "fast": {
        "iterations": 20_000,
        "validate_every": 500,
        "loss": "cross_entropy+dice",
        "compile": "auto",
        "optimizer": {"name": "adamw", **OPTIMIZERS["adamw"]},
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
FINETUNE: dict[str, dict[str, Any]] = {
    # Fine-tuning: 15,000 iterations at most; 5,000 to 10,000 were enough.
    "paper": {"iterations": 15_000, "validate_every": 500},
    "fast": {"iterations": 2_000, "validate_every": 100},
}


class Resolved(dict[str, Any]):
    """The settings of a training as they were written: no recipe changes or completes them."""


def completed(
    settings: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the settings of a training with what its recipe states for those left out.

    Parameters
    ----------
    settings
        Of a file or of Python, where a table may be a `Config`: the fields that were set are those
        of a table in a file.
    tables
        Tables with all that a recipe may leave out, too, so that all of it is stated.

    Examples
    --------
    >>> full = completed({"patch": 92, "optimizer": {"warmup": 7}})
    >>> full["patch"], full["loss"], full["optimizer"]["warmup"], full["optimizer"]["name"]
    (92, 'cross_entropy+dice', 7, 'adamw')
    """
    recipe = RECIPES.get(str(settings.get("recipe", DEFAULT)), {})
    given = {
        key: value.model_dump(exclude_unset=True) if isinstance(value, Config) else value
        for key, value in settings.items()
    }
    full = merged(recipe, given)
    for name, defaults in (tables or {}).items():
        table = full.get(name, {})
        if isinstance(table, Mapping):
            full[name] = {**defaults, **table}
    return full


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of `below` with what `above` says instead or besides.

    Where `above` names another optimizer, nothing of that in `below` is taken over: what is left
    out are the other optimizer's own numbers (`OPTIMIZERS`).

    Examples
    --------
    >>> merged(RECIPES["fast"], {"optimizer": {"name": "adam"}})["optimizer"]["learning_rate"]
    3e-05
    """
    out = {**below, **above}
    for key in below.keys() & above.keys():
        mine, other = above[key], below[key]
        if not (isinstance(mine, Mapping) and isinstance(other, Mapping)):
            continue
        if key == "optimizer" and mine.get("name", other.get("name")) != other.get("name"):
            other = OPTIMIZERS.get(str(mine["name"]), {})
        out[key] = merged(other, mine)
    return out
