"""Validation of several regions: pooled, and of each alone."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from asem.measure.segmentation_scores import ConfusionCounts
from asem.model.inference import NetworkRunner
from asem.model.run_metrics import COUNT_KEYS
from asem.model.unet import UNet, initialize_weights
from asem.training import validation
from asem.training.config import TrainConfig
from asem.training.labelled_regions import load_region
from asem.training.targets import UNLABELLED
from asem.training.validation import validate

ROIS = (":,:,48:", ":17,:40,:", "20:,5:,3:30")
"""Of different sizes; the second and the first overlap."""


@pytest.fixture(scope="module")
def config(cell):
    return TrainConfig.from_toml(cell / "train.toml")


@pytest.fixture(scope="module")
def regions(config):
    (table,) = config.validation
    return [load_region(table.model_copy(update={"roi": roi}), config) for roi in ROIS]


@pytest.fixture(scope="module")
def runner(config):
    net = UNet(config.model)
    initialize_weights(net, torch.Generator().manual_seed(5))
    with torch.no_grad():  # near the border between both classes, so that the scores differ
        list(net.parameters())[-1].copy_(torch.tensor([0.1, 0.0]))
    return NetworkRunner(net.eval(), torch.device("cpu"), "32")


def counts_of(scores):
    return ConfusionCounts(*(getattr(scores, key) for key in COUNT_KEYS))


def test_each_region_is_scored_as_if_it_were_alone(runner, regions, config):
    _, by_region = validate(runner, regions, config)
    for region, scores in zip(regions, by_region, strict=True):
        pooled, (alone,) = validate(runner, [region], config)
        assert scores == alone == pooled
        assert 0 < scores.f1 < 1
    assert len({scores.f1 for scores in by_region}) == len(regions)


def test_pooled_scores_are_those_of_the_voxels_of_all_regions(runner, regions, config):
    pooled, by_region = validate(runner, regions, config)
    total = sum(map(counts_of, by_region), ConfusionCounts())
    assert counts_of(pooled) == total
    expected = total.scores()
    for key in ("precision", "recall", "f1", "voxels"):
        assert getattr(pooled, key) == expected[key]
    weights = [region.labelled_voxels for region in regions]
    pairs = zip(by_region, weights, strict=True)
    mean = sum(scores.validation_loss * weight for scores, weight in pairs) / sum(weights)
    assert pooled.validation_loss == pytest.approx(mean, rel=1e-9)


def test_tiles_without_labels_are_not_predicted(runner, regions, config, monkeypatch):
    """Sparse annotations have few labelled tiles; the scores are those of all tiles."""
    region = replace(regions[0], target=np.array(regions[0].target))
    region.target[:, :, 5:] = UNLABELLED
    monkeypatch.setattr(validation, "default_tile", lambda *_: 4)
    sparse, _ = validate(runner, [region], config)
    predicted = list(validation._predict_tiles(runner, region))
    monkeypatch.setattr(validation, "_has_labels", lambda *_: True)
    assert validate(runner, [region], config)[0] == sparse
    assert len(predicted) < len(list(validation._predict_tiles(runner, region))) / 2
    assert sparse.voxels > 0


def test_a_loss_that_is_not_finite_is_left_out_with_a_warning(runner, regions, config, caplog):
    net = UNet(config.model)
    net.load_state_dict(runner.net.state_dict())
    with torch.no_grad():
        list(net.parameters())[-1].fill_(float("inf"))
    broken = NetworkRunner(net.eval(), torch.device("cpu"), "32")
    with caplog.at_level(logging.WARNING):
        pooled, (alone,) = validate(broken, regions[:1], config)
    assert pooled == alone
    assert alone.validation_loss is None
    (line,) = caplog.messages
    assert line.startswith("the validation loss of")
    assert regions[0].name in line
