"""Absurd values of every number in a file of settings: refused, or done as stated."""

import itertools
from math import inf, nan

import numpy as np
import pytest

from asem.annotate.graphcut import GraphCutConfig
from asem.blocks.batch_job_config import BatchJobConfig
from asem.image.clahe import ClaheConfig
from asem.image.cleanup import min_voxels_of
from asem.image.morphology import MAX_RADIUS, radii_in_voxels, zone_radii_in_voxels
from asem.image.sample_mask import MaskConfig
from asem.model.config import ModelConfig
from asem.structures import Structure
from asem.training.config import TrainConfig
from asem.workflows.prediction_inputs import PredictionInputs
from extremes import LONGEST_LINE, bounded, fields_of

EXTREMES = (
    0, -1, -0.0, 1e-300, 1e300, nan, inf, -inf, 10**9, 10**9 + 1, 2**31, 2**63, 10**400, "1e400",
    "", " ", "x" * 10_000, [], [1] * 5000, {}, True, None,
)  # fmt: skip
REGION = {"raw": "r", "labels": "l"}
JOB = {"raw": "r", "model": [{"checkpoint": "c", "out": "o"}]}
SETTINGS = {
    TrainConfig: {"structure": "mito", "voxel_size": [5, 5, 5], "train": [REGION], "patch": 100},
    ModelConfig: {},
    PredictionInputs: {"input": [JOB]},
    BatchJobConfig: {"system": "slurm", "jobs": 1, "cores": 1, "memory": "1GB"},
    Structure: {"name": "s"},
    GraphCutConfig: {"energy": "membranes"},
    MaskConfig: {},
    ClaheConfig: {},
}


def placed(data, where, value):
    """Return settings with a value at a place."""
    if not where:
        return value
    first, rest = where[0], where[1:]
    if isinstance(first, int):
        return [placed(data[0], rest, value)]
    below = data.get(first, [{}] if rest and isinstance(rest[0], int) else {})
    return {**data, first: placed(below if isinstance(below, (dict, list)) else {}, rest, value)}


CASES = [(cls, where, three) for cls in SETTINGS for where, three in fields_of(cls)]


def fault_or(function, *arguments):
    """Return what a function returns, or the line of its ValueError."""
    try:
        with bounded():
            return function(*arguments)
    except ValueError as error:
        return str(error)


def accepted(cls, where, three):
    """Return the values that a field takes, with their settings; each fault is one line."""
    for value in EXTREMES:
        for given in (value, [value, 5, 5], [5, value, value]) if three else (value,):
            data = placed(SETTINGS[cls], where, given)
            found = fault_or(lambda data=data: cls.from_dict(data, source="s.toml"))
            if isinstance(found, cls):
                yield given, found
            else:
                assert "\n" not in found, (where, given)
                assert len(found) < LONGEST_LINE, (where, given)


def test_all_fields_are_found():
    found = {".".join(map(str, where)) for _, where, _ in CASES}
    assert found >= {
        "iterations", "voxel_size", "voxel_size_range", "model.features", "optimizer.learning_rate",
        "augment.blur_nm", "input.0.model.0.tile", "membranes.fragments.seed_spacing_bins",
        "kernel", "jobs", "paper.supervoxels.number", "dilation_nm", "opening_nm",
        "seed",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cls", "where", "three"), CASES, ids=lambda v: str(getattr(v, "__name__", v))
)
def test_numbers_are_refused_in_one_line_or_can_be_computed_with(cls, where, three):
    for given, config in accepted(cls, where, three):
        value = config
        for name in where:
            value = value[name] if isinstance(name, int) else getattr(value, name)
        flat = [value] if not isinstance(value, tuple) else np.ravel(value).tolist()
        assert all(n is None or abs(n) <= 1e300 for n in flat if not isinstance(n, str)), given


SIZES = (1e-6, 0.5, 5.0, 1e9)


@pytest.mark.parametrize("size", [*itertools.product(SIZES, repeat=3)])
def test_accepted_widths_fit_or_are_refused(size):
    for name in ("dilation_nm", "zone_out_nm", "opening_nm", "closing_nm"):
        cls = Structure if name in Structure.model_fields else MaskConfig
        for _, config in accepted(cls, (name,), three=False):
            for radii in (radii_in_voxels, zone_radii_in_voxels):
                found = fault_or(radii, getattr(config, name), size)
                assert "check that it is in nm" in found or max(found) <= MAX_RADIUS
    for name in ("smallest_nm3", "largest_hole_nm3"):
        for _, config in accepted(Structure, (name,), three=False):
            assert 0 <= min_voxels_of(getattr(config, name), size) <= 2**62
