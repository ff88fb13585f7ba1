"""Every number that a file of settings takes, as nobody means it: refused, or honestly done."""

import itertools
import types
import typing
from math import inf, nan

import numpy as np
import pytest
from pydantic import BaseModel

from asem.annotate.graphcut import GraphCutConfig, prepared
from asem.blocks.workers import JobConfig
from asem.config import Config
from asem.image.clahe import ClaheConfig
from asem.image.cleanup import voxels_of
from asem.image.masks import MaskConfig, mask_halo
from asem.image.morphology import MOST_RADIUS, radii_of, zone_radii
from asem.model.config import CheckpointInfo, ModelConfig, TrainConfig
from asem.structures import Structure
from asem.workflows.predict_plan import PredictJobs
from extremes import LONGEST_LINE, bounded

EXTREMES = (
    0, -1, -0.0, 1e-300, 1e300, nan, inf, -inf, 10**9, 10**9 + 1, 2**31, 2**63, 10**400, "1e400",
    "", " ", "x" * 10_000, [], [1] * 5000, {}, True, None,
)  # fmt: skip
REGION = {"raw": "r", "labels": "l"}
JOB = {"raw": "r", "model": [{"checkpoint": "c", "out": "o"}]}
SETTINGS = {
    TrainConfig: {"structure": "mito", "voxel_size": [5, 5, 5], "train": [REGION], "patch": 100},
    ModelConfig: {},
    PredictJobs: {"input": [JOB]},
    JobConfig: {"system": "slurm", "jobs": 1, "cores": 1, "memory": "1GB"},
    Structure: {"name": "s"},
    GraphCutConfig: {"energy": "membranes"},
    MaskConfig: {},
    ClaheConfig: {},
}


def is_number(annotation):
    """Whether a field takes numbers, or some of them."""
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, tuple):
        return any(is_number(part) for part in parts)
    return annotation in (int, float)


def tables_in(annotation):
    """Yield the settings that a field holds, or a list of them."""
    for part in (annotation, *typing.get_args(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part, typing.get_origin(annotation) is tuple
        elif part is not annotation:
            yield from tables_in(part)


def fields_of(cls, before=()):
    """Yield where each number stands: the names of tables and of the field, and if it is three."""
    for name, field in cls.model_fields.items():
        if is_number(field.annotation):
            yield (*before, name), "uple" in str(field.annotation)
        for table, many in tables_in(field.annotation):
            yield from fields_of(table, (*before, name, 0) if many else (*before, name))


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


def accepted(cls, where, three):
    """Return the values that a field takes; each fault is one line."""
    for value in EXTREMES:
        for given in (value, [value, 5, 5], [5, value, value]) if three else (value,):
            data = placed(SETTINGS[cls], where, given)
            try:
                with bounded():
                    config = cls.checked(data, source="s.toml")
            except ValueError as error:
                assert "\n" not in str(error), (where, given)
                assert len(str(error)) < LONGEST_LINE, (where, given)
                continue
            yield given, config


def test_all_fields_are_found():
    found = {".".join(map(str, where)) for _, where, _ in CASES}
    assert found >= {
        "iterations", "voxel_size", "voxel_size_range", "model.features", "optimizer.learning_rate",
        "augment.blur_nm", "input.0.model.0.tile", "membranes.fragments.seeds", "kernel", "jobs",
        "paper.supervoxels.number", "dilation_nm", "opening_nm", "seed",
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
    for where in ("dilation_nm", "zone_out_nm"):
        for _, preset in accepted(Structure, (where,), three=False):
            width = getattr(preset, where)
            try:
                radii = *radii_of(width, size), *zone_radii(width, size)
            except ValueError as error:
                assert "check that it is in nm" in str(error)
                continue
            assert max(radii) <= MOST_RADIUS
    for where in ("smallest_nm3", "largest_hole_nm3"):
        for _, preset in accepted(Structure, (where,), three=False):
            assert 0 <= voxels_of(getattr(preset, where), size) <= 2**62
    for where in ("opening_nm", "closing_nm"):
        for _, config in accepted(MaskConfig, (where,), three=False):
            try:
                assert max(mask_halo(size, config)) <= 4 * MOST_RADIUS
            except ValueError as error:
                assert "check that it is in nm" in str(error)
