"""Recipes: what a training file leaves out. Loads no torch."""

from collections.abc import Mapping
from typing import Any

DEFAULT = "fast"
RECIPES: dict[str, dict[str, Any]] = {
    # Training: Pipeline details; the defaults of `TrainConfig` are the paper's.
    "paper": {},
    # benchmarks/README.md, "Score against time", has the score they reach together.
    "fast": {
        "iterations": 20_000,
        "validate_every": 500,
        "loss": "cross_entropy+dice",
        "compile": "auto",
        "optimizer": {
            "name": "adamw",
            "learning_rate": 2e-3,
            "weight_decay": 1e-2,
            "warmup": 50,
            "average": 0.99,
        },
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


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a training file with what its recipe says beside them.

    Examples
    --------
    >>> full = completed({"patch": 92, "optimizer": {"warmup": 7}})
    >>> full["patch"], full["loss"], full["optimizer"]["warmup"], full["optimizer"]["name"]
    (92, 'cross_entropy+dice', 7, 'adamw')
    """
    recipe = RECIPES.get(str(settings.get("recipe", DEFAULT)), {})
    return merged(recipe, settings)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of `below` with what `above` says instead or besides."""
    out = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], Mapping) and isinstance(above[key], Mapping):
            out[key] = merged(below[key], above[key])
    return out
