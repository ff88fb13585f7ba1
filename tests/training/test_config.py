"""Training files and their recipes: the same from TOML, Python and run.json."""

import json
import tomllib

import pytest

from asem.model.checkpoint_info import CheckpointInfo
from asem.model.config import ModelConfig
from asem.structures import Structure, find_preset
from asem.training.config import (
    AugmentConfig,
    OptimizerConfig,
    SamplingConfig,
    TrainConfig,
    training_config_of,
)
from asem.training.recipes import (
    FINETUNE_RECIPES,
    OPTIMIZER_DEFAULTS,
    RECIPES,
    SHORT_TRAININGS,
    SMALL_STRUCTURES,
    SMALL_STRUCTURES_FINETUNE,
    finetune_settings,
    merge_settings,
)
from asem.training.region_config import TrainingRegion

REGIONS = {"train": [{"raw": "r", "labels": "l"}]}
BASE = {"structure": "mito", "voxel_size": (5, 5, 5), **REGIONS}


def of_file(text):
    return TrainConfig.from_dict({**BASE, **tomllib.loads(text)}, source="t.toml")


@pytest.mark.parametrize("recipe", ["fast", "paper"])
@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("[optimizer]\nlearning_rate = 1e-3", {"optimizer": OptimizerConfig(learning_rate=1e-3)}),
        ('[optimizer]\nname = "adam"', {"optimizer": OptimizerConfig(name="adam")}),
        ('[optimizer]\nname = "adamw"', {"optimizer": OptimizerConfig(name="adamw")}),
        ("[optimizer]", {"optimizer": OptimizerConfig()}),
        ("[augment]\nnoise = 0.1", {"augment": AugmentConfig(noise=0.1)}),
        ("[augment]\nmirror = true", {"augment": AugmentConfig(mirror=True)}),
        ("[augment]", {"augment": AugmentConfig()}),
        ("[sampling]\nreject = 0", {"sampling": SamplingConfig(reject=0)}),
        ("[model]\nlevels = 3", {"model": ModelConfig(levels=3)}),
    ],
)
def test_a_table_in_python_is_that_of_a_file(recipe, text, tables):
    config = TrainConfig(recipe=recipe, **BASE, **tables)
    assert config == of_file(f'recipe = "{recipe}"\n{text}')
    assert config == TrainConfig.model_validate({"recipe": recipe, **BASE, **tables})


def test_the_recipe_completes_its_own_optimizer():
    optimizer = of_file("[optimizer]\nlearning_rate = 1e-3").optimizer
    assert optimizer == OptimizerConfig(
        **{**OPTIMIZER_DEFAULTS["adamw"], "learning_rate": 1e-3}, name="adamw"
    )
    assert of_file("").optimizer == OptimizerConfig(name="adamw", **OPTIMIZER_DEFAULTS["adamw"])
    assert of_file('recipe = "paper"').optimizer == OptimizerConfig()


def test_another_optimizer_takes_over_nothing():
    """Neither the learning rate, nor decay, warmup and moving average."""
    assert of_file('[optimizer]\nname = "adam"').optimizer == OptimizerConfig()
    assert of_file('[optimizer]\nname = "adam"\nwarmup = 9').optimizer == OptimizerConfig(warmup=9)
    expected = OptimizerConfig(name="adamw", **OPTIMIZER_DEFAULTS["adamw"])
    assert of_file('recipe = "paper"\n[optimizer]\nname = "adamw"').optimizer == expected
    first = {"optimizer": {"name": "adamw", "learning_rate": 7.0, "schedule": "cosine"}}
    tuned = merge_settings(first, {"optimizer": {"name": "adam", "warmup": 3}})["optimizer"]
    assert tuned == {"name": "adam", **OPTIMIZER_DEFAULTS["adam"], "warmup": 3}
    same = merge_settings(first, {"optimizer": {"warmup": 3}})["optimizer"]
    assert same == {**first["optimizer"], "warmup": 3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[optimizer]\nname = "sgd"', "'optimizer.name': give 'adam' or 'adamw'; got 'sgd'"),
        ("[optimizer]\nrate = 1", r"unknown key 'optimizer.rate' \(allowed here: name, learning_"),
        ('optimizer = "adam"', r"'optimizer': give a table \[optimizer\]; got 'adam'"),
        (
            'loss = "dice"',
            r"^t.toml: 'loss': there is no loss 'dice'; give 'balanced' or 'cross_entropy\+dice'$",
        ),
        ('loss = "balance"', r"or 'cross_entropy\+dice'; did you mean 'balanced'\?$"),
        ("loss = 3", "'loss': give text in quotes; got 3$"),
        ('recipe = "slow"', "'recipe': give 'paper' or 'fast'; got 'slow'"),
    ],
)
def test_errors_in_tables(text, message):
    with pytest.raises(ValueError, match=message):
        of_file(text)


def test_no_recipe_adds_to_augmentation_that_is_off():
    augment = TrainConfig(**BASE, augment=AugmentConfig.disabled()).augment
    assert augment == AugmentConfig.disabled()
    changes = {key: getattr(augment, key) for key in RECIPES["fast"]["augment"]}
    assert set(changes.values()) == {0}


def test_a_resolved_table_stays_as_it_is_in_another_training():
    paper = TrainConfig(recipe="paper", **BASE)
    other = TrainConfig(**BASE, augment=paper.augment, optimizer=paper.optimizer)
    assert (other.augment, other.optimizer) == (paper.augment, paper.optimizer)


THIN = Structure(name="spine", centre_line_nm=10)


@pytest.mark.parametrize("structure", ["npc", "ccp", THIN, THIN.model_dump()])
def test_the_recipe_of_a_structure_with_thin_annotations(structure):
    config = TrainConfig(**{**BASE, "structure": structure})
    assert config.patch == SMALL_STRUCTURES["patch"]
    assert config.sampling == SamplingConfig(**SMALL_STRUCTURES["sampling"])
    assert config.model == ModelConfig(**SMALL_STRUCTURES["model"])
    assert config.augment == TrainConfig(**BASE).augment
    expected = {**TrainConfig(**BASE).optimizer.model_dump(), **SMALL_STRUCTURES["optimizer"]}
    assert config.optimizer.model_dump() == expected


def test_pits_are_learned_faster_than_pores():
    pits, pores = (TrainConfig(**{**BASE, "structure": name}) for name in ("ccp", "npc"))
    assert pits.iterations < pores.iterations == SMALL_STRUCTURES["iterations"]
    for name, changes in SHORT_TRAININGS.items():
        assert find_preset(name).centre_line_nm is not None
        assert changes.keys() <= SMALL_STRUCTURES.keys()


def test_a_file_overrides_the_recipe_of_a_small_structure():
    changes = {"patch": 76, "sampling": {"at_objects": 0.25}, "model": {"features": 5}}
    config = TrainConfig(**{**BASE, "structure": "npc"}, **changes)
    sampling = {**SMALL_STRUCTURES["sampling"], "at_objects": 0.25}
    assert config.patch == 76
    assert config.sampling == SamplingConfig(**sampling)
    assert config.model == ModelConfig(**{**SMALL_STRUCTURES["model"], "features": 5})


@pytest.mark.parametrize("structure", ["mito", Structure(name="lamella")])
def test_other_structures_and_the_paper_have_their_own_recipe(structure):
    assert TrainConfig(**{**BASE, "structure": structure}).sampling == SamplingConfig()
    paper = {"recipe": "paper", **BASE}
    npc = TrainConfig(**{**paper, "structure": "npc"})
    assert npc.model_dump(exclude={"structure"}) == TrainConfig(**paper).model_dump(
        exclude={"structure"}
    )


def test_the_fine_tuning_of_a_small_structure():
    """It has the loss that leaves out false objects, unless the recipe is the paper's."""
    for structure in ("npc", THIN, THIN.model_dump()):
        assert finetune_settings("fast", structure) == SMALL_STRUCTURES_FINETUNE
    assert finetune_settings("fast", "mito") == FINETUNE_RECIPES["fast"]
    assert finetune_settings("paper", "npc") == FINETUNE_RECIPES["paper"]
    assert finetune_settings("none", "mito") == {}
    merged = merge_settings(SMALL_STRUCTURES, finetune_settings("fast", "ccp"))
    assert merged["optimizer"] == {**SMALL_STRUCTURES["optimizer"], "learning_rate": 2e-3}
    assert (merged["loss"], merged["model"]) == ("cross_entropy+dice", SMALL_STRUCTURES["model"])


def test_an_unknown_structure_is_an_error_of_its_own():
    for structure in ("npcs", 3, ["npc"]):
        with pytest.raises(ValueError, match="'structure'"):
            TrainConfig.from_dict({**BASE, "structure": structure}, source="t.toml")


def info_of(training):
    return {
        "asem": "0", "iteration": 1, "structure": "mito", "voxel_size": (5, 5, 5), "model": {},
        "training": training, "inputs": (), "device": "cpu", "precision": "32",
    }  # fmt: skip


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"recipe": "paper"},
        {"optimizer": {"name": "adam"}},
        {
            "optimizer": {"average": 0},
            "augment": {"noise": 0},
            "train": [TrainingRegion(raw="r", labels="l")],
        },
    ],
)
def test_what_is_written_is_read_as_it_was(tables, monkeypatch):
    config = TrainConfig.model_validate({**BASE, **tables})
    settings = config.model_dump(mode="json")
    document = json.loads(CheckpointInfo(**info_of(settings)).model_dump_json())
    assert TrainConfig.model_validate(document["training"]) == config
    # A recipe of a later version has other values, and keys that the stored settings lack.
    monkeypatch.setitem(RECIPES, "fast", {"patch": 300, "augment": {"noise": 0.5, "gamma": 9}})
    del document["training"]["patch"], document["training"]["augment"]["gamma"]
    info = CheckpointInfo.from_dict(document, source="state.json")
    training = training_config_of(info, source="state.json")
    assert training.patch == 204
    assert training.augment.gamma == 0
    assert training.augment.noise == config.augment.noise
    assert training.optimizer == config.optimizer


def test_damaged_settings_of_a_training_name_their_file():
    training = TrainConfig(**BASE).model_dump(mode="json") | {"patch": 0}
    info = CheckpointInfo(**info_of(training))
    with pytest.raises(
        ValueError, match=r"run/state\.json: 'patch': give a whole number from 1 to 2048; got 0"
    ):
        training_config_of(info, source="run/state.json")


def test_settings_of_a_training_without_a_recipe_are_an_error():
    training = TrainConfig(**BASE).model_dump(mode="json")
    del training["recipe"]
    info = CheckpointInfo(**info_of(training))
    with pytest.raises(ValueError, match=r"run/state\.json does not state the recipe"):
        training_config_of(info, source="run/state.json")
