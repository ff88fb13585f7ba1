"""Patches at objects: each object with the same chance, whatever its size, in all regions."""

import numpy as np
import pytest
from tests.training.test_patch_sampling import EDGE, config, draw_fractions, make_region, outputs

from asem.training import object_sampling, patch_sampling
from asem.training.config import SamplingConfig
from asem.training.patch_sampling import PatchSampler, find_candidate_locations
from asem.training.targets import FOREGROUND, UNLABELLED

BOXES = {
    "a voxel": (slice(6, 7), slice(6, 7), slice(8, 9)),
    "a cube": (slice(4, 8), slice(4, 8), slice(40, 44)),
    "a row": (slice(5, 6), slice(5, 6), slice(70, 78)),
}
AT_OBJECTS = SamplingConfig(at_objects=1)


def make_target(*boxes, shape=(14, 14, 120)):
    target = np.zeros(shape, np.uint8)
    for box in boxes:
        target[box] = FOREGROUND
    return target


def count_draws(target, number=900, rules=AT_OBJECTS):
    """Return how often each part of 30 voxels along x, of one object each, is drawn."""
    locations = find_candidate_locations(target, EDGE, rules)
    rng = np.random.default_rng(3)
    starts = np.array([locations.draw_at_object(rng) for _ in range(number)])
    return np.bincount((starts[:, 2] + EDGE // 2) // 30, minlength=4) / number


def make_two_traces():
    """Return an object of two rows without a common voxel face, edge or corner."""
    target = make_target(*BOXES.values())
    target[3, 3:9, 100] = target[6, 3:9, 102] = FOREGROUND
    return target


def test_each_object_has_the_same_chance_whatever_its_size():
    assert count_draws(make_two_traces()) == pytest.approx([0.25] * 4, abs=0.05)


def test_a_larger_object_than_an_output_counts_as_several():
    target = make_target(BOXES["a voxel"], (slice(6, 7), slice(6, 7), slice(60, 120)))
    locations = find_candidate_locations(target, EDGE, AT_OBJECTS)
    assert locations.objects == pytest.approx(1 + 60 / EDGE, abs=1)


@pytest.mark.parametrize("limit", [24, 60])
def test_of_many_voxels_every_nth_is_stored(monkeypatch, limit):
    monkeypatch.setattr(object_sampling, "MAX_VOXELS", limit)
    monkeypatch.setattr(object_sampling, "READ_BLOCK", (5, 6, 35))
    cubes = [(slice(4, 8), slice(4, 8), slice(x, x + 4)) for x in (6, 40, 70, 104)]
    locations = find_candidate_locations(make_target(*cubes), EDGE, AT_OBJECTS)
    assert limit / 2 < len(locations.object_voxels.positions) <= limit
    assert locations.objects == pytest.approx(4, rel=0.1)
    assert count_draws(make_target(*cubes)).min() > 0.1


def test_chances_are_the_same_where_candidates_are_in_steps(monkeypatch):
    monkeypatch.setattr(patch_sampling, "MAX_LOCATIONS", 1000)
    target = make_two_traces()
    assert find_candidate_locations(target, EDGE, AT_OBJECTS).stride == 2
    assert count_draws(target) == pytest.approx([0.25] * 4, abs=0.07)


def test_the_object_is_in_the_inner_half_of_the_output():
    target = make_target((slice(20, 21),) * 3, shape=(40, 40, 40))
    locations = find_candidate_locations(target, EDGE, AT_OBJECTS)
    rng = np.random.default_rng(0)
    inside = 20 - np.array([locations.draw_at_object(rng) for _ in range(300)])
    assert (inside.min(), inside.max()) == (EDGE // 4, EDGE - EDGE // 4 - 1)


def test_outputs_stay_within_the_region_and_the_labels():
    target = make_target((slice(0, 1), slice(13, 14), slice(0, 1)), (6, 6, 100))
    target[:, :, 50:96] = UNLABELLED
    target[:, :, 108:] = UNLABELLED
    locations = find_candidate_locations(target, EDGE, AT_OBJECTS)
    rng = np.random.default_rng(1)
    for _ in range(50):
        start = locations.draw_at_object(rng)
        box = target[tuple(slice(n, n + EDGE) for n in start)]
        assert box.shape == (EDGE,) * 3
        assert (box == UNLABELLED).mean() <= 0.25
        assert (box == FOREGROUND).any()


def test_an_object_without_an_acceptable_output_is_left_to_other_patches():
    target = make_target((6, 6, 100))
    target[:, :, 50:100] = target[:, :, 101:] = UNLABELLED
    locations = find_candidate_locations(target, EDGE, AT_OBJECTS)
    start = locations.draw_at_object(np.random.default_rng(0))
    assert start[2] < 50


def test_regions_are_drawn_by_their_objects():
    """Not by their voxels, of which the region with one object has most."""
    one = make_region(make_target(BOXES["a cube"], shape=(14, 14, 400)))
    three = make_region(make_target(*BOXES.values()))
    none = make_region(make_target())
    settings = config(sampling=AT_OBJECTS)
    fractions = draw_fractions([none, one, three], settings, 800)
    assert fractions == pytest.approx([0, 0.25, 0.75], abs=0.05)


@pytest.mark.parametrize(("fraction", "expected"), [(0, 0.02), (0.5, 0.5), (1, 1)])
def test_the_fraction_of_patches_at_objects(fraction, expected):
    region = make_region(make_target(BOXES["a voxel"], shape=(40, 40, 40)))
    settings = config(sampling=SamplingConfig(at_objects=fraction, reject=0))
    has_object = [one.any() for one in outputs([region], settings, 150)]
    assert np.mean(has_object) == pytest.approx(expected, abs=0.1)


def test_without_foreground_all_patches_are_drawn_anywhere():
    region = make_region(make_target())
    sampler = PatchSampler([region], config(sampling=AT_OBJECTS))
    assert sampler.draw(np.random.default_rng(0)).region_index == 0
