import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asem.model.config import ModelConfig
from asem.training import patch_sampling
from asem.training.config import AugmentConfig, SamplingConfig, TrainConfig
from asem.training.labelled_regions import LabelledRegion
from asem.training.patch_extraction import HostPatchExtractor
from asem.training.patch_sampling import PatchSampler, find_candidate_locations, patch_output_edge
from asem.training.targets import FOREGROUND, OUTSIDE, UNLABELLED
from asem.volume.volume import Volume

NET = ModelConfig(features=2, levels=2)
EDGE = 10
"""Of a patch's output."""


def config(**changes):
    settings = {
        "structure": "mito",
        "voxel_size": (10, 10, 10),
        "train": [{"raw": "r", "labels": "l"}],
        "model": NET,
        "patch": 28,
        "augment": AugmentConfig.disabled(),
        **changes,
    }
    return TrainConfig.model_validate(settings)


def make_region(target, name="region"):
    """Return a region of a volume that is white in the foreground, with a black margin."""
    target = np.asarray(target, np.uint8)
    raw = np.pad(np.where(target == FOREGROUND, 255, 0).astype(np.uint8), 12)
    volume = Volume(raw, (10.0, 10.0, 10.0))
    labelled = int(np.count_nonzero(target < OUTSIDE))
    foreground = int(np.count_nonzero(target == FOREGROUND))
    offset, window = (12, 12, 12), (0.0, 255.0)
    return LabelledRegion(volume, target, window, offset, (0, 0, 0), labelled, (), foreground, name)


def outputs(regions, settings, number):
    """Return the targets of the patches of `number` seeds."""
    sampler, extractor = PatchSampler(regions, settings), HostPatchExtractor(regions)
    specs = [sampler.draw(np.random.default_rng(n)) for n in range(number)]
    return [extractor.extract(spec, sampler.output_edge)[1].numpy() for spec in specs]


def test_the_output_of_these_patches():
    assert patch_output_edge(config()) == EDGE


def test_a_patch_is_raw_with_its_target_at_the_centre(rng):
    regions = [make_region(rng.integers(0, 2, (20, 20, 20)))]
    sampler = PatchSampler(regions, config())
    grey, target = HostPatchExtractor(regions).extract(sampler.draw(rng), sampler.output_edge)
    assert grey.shape == (28,) * 3
    assert target.shape == (EDGE,) * 3
    centre = (slice(9, 19),) * 3
    assert np.allclose(grey[centre], np.where(target == 1, 1.0, -1.0), atol=1e-6)


@given(
    target=arrays(
        np.uint8,
        st.tuples(*[st.integers(1, 9)] * 3),
        elements=st.sampled_from([0, FOREGROUND, UNLABELLED]),
    ),
    edge=st.integers(1, 6),
    limits=st.tuples(st.floats(0, 1), st.floats(0, 0.99), st.floats(0, 0.99)),
)
def test_probabilities_are_those_of_every_location(target, edge, limits):
    rules = SamplingConfig(min_foreground=limits[0], reject=limits[1], max_outside=limits[2])
    locations = find_candidate_locations(target, edge, rules)
    expected = []
    for z in locations.starts[0]:
        for y in locations.starts[1]:
            for x in locations.starts[2]:
                box = target[max(z, 0) : z + edge, max(y, 0) : y + edge, max(x, 0) : x + edge]
                outside = (box == UNLABELLED).sum() > rules.max_outside * edge**3
                poor = (box == FOREGROUND).sum() < rules.min_foreground * edge**3
                expected.append(0 if outside else 1 - rules.reject if poor else 1)
    assert locations.stride == 1
    probabilities = np.diff(locations.cumulative, prepend=0) * locations.cumulative.size
    assert np.allclose(probabilities, expected, atol=1e-9)


def test_all_locations_are_drawn():
    target = np.ones((11, 12, 4))
    locations = find_candidate_locations(target.astype(np.uint8), 10, SamplingConfig())
    seen = {tuple(locations.draw(np.random.default_rng(n))) for n in range(200)}
    assert seen == {(z, y, -3) for z in (0, 1) for y in (0, 1, 2)}


def test_a_large_region_has_candidates_in_steps(monkeypatch):
    """All locations are drawn, also those between candidates, none beyond the region."""
    monkeypatch.setattr(patch_sampling, "MAX_LOCATIONS", 200)
    target = np.zeros((23, 17, 40), np.uint8)
    target[:, :, :20] = 1
    locations = find_candidate_locations(
        target, 10, SamplingConfig(min_foreground=0.9, reject=0.9999)
    )
    assert locations.stride == 4
    starts = np.array([locations.draw(np.random.default_rng(n)) for n in range(3000)])
    assert (starts.min(0) == 0).all()
    assert (starts.max(0)[:2] == [13, 7]).all()
    assert starts[:, 2].max() <= 8 + 3  # the last candidate with enough foreground, and its step
    assert len(np.unique(starts[:, 0])) == 14


def test_locations_between_candidates_follow_the_rules(monkeypatch):
    monkeypatch.setattr(patch_sampling, "MAX_LOCATIONS", 200)
    target = np.full((23, 37, 40), UNLABELLED, np.uint8)
    target[2:18, 3:21, 5:30] = 0
    target[2:18, 3:21, 20:30] = FOREGROUND
    locations = find_candidate_locations(
        target, 10, SamplingConfig(min_foreground=0.2, reject=0.95, max_outside=0.25)
    )
    assert locations.stride == 4
    poor = 0
    for n in range(1000):
        z, y, x = locations.draw(np.random.default_rng(n))
        box = target[z : z + 10, y : y + 10, x : x + 10]
        assert (box == UNLABELLED).sum() <= 250
        poor += (box == FOREGROUND).sum() < 200
    assert 0 < poor < 100


def test_poor_patches_are_mostly_rejected():
    target = np.zeros((20, 20, 400))
    target[:, :, :200] = 1  # half of all locations are all foreground
    for reject, expected in ((0.0, 0.5), (0.9, 10 / 11)):
        settings = config(sampling=SamplingConfig(reject=reject))
        has_foreground = [one.any() for one in outputs([make_region(target)], settings, 300)]
        assert np.mean(has_foreground) == pytest.approx(expected, abs=0.08)


def test_patches_of_unlabelled_voxels_are_always_rejected():
    target = np.zeros((20, 20, 200))
    target[:, :, 20:] = UNLABELLED
    for one in outputs([make_region(target)], config(), 50):
        assert np.mean(one == UNLABELLED) <= 0.25
    target[:, :, 6:] = UNLABELLED
    with pytest.raises(
        ValueError, match=r"no patch has a usable output of 10\^3 voxels: more than 25%"
    ):
        PatchSampler([make_region(target)], config())


def draw_fractions(regions, settings, number=2000):
    """Return the fraction of draws from each region."""
    sampler = PatchSampler(regions, settings)
    indices = [sampler.draw(np.random.default_rng(n)).region_index for n in range(number)]
    return np.bincount(indices, minlength=len(regions)) / number


@pytest.mark.parametrize("reject", [0, 0.9])
def test_regions_are_drawn_by_their_labelled_voxels(reject):
    """Locations are rejected within the region that was drawn, so that foreground has no effect."""
    settings = config(sampling=SamplingConfig(reject=reject))
    poor, rich = np.zeros((20, 20, 20)), np.ones((20, 20, 20))
    poor[8, 8, 8] = 1
    equal = draw_fractions([make_region(poor), make_region(rich)], settings)
    assert equal == pytest.approx([0.5, 0.5], abs=0.04)
    larger = draw_fractions([make_region(np.zeros((20, 20, 60))), make_region(rich)], settings)
    assert larger == pytest.approx([0.75, 0.25], abs=0.04)
    masked = np.ones((20, 20, 40))
    masked[:, :, 20:] = UNLABELLED
    equal = draw_fractions([make_region(poor), make_region(masked)], settings)
    assert equal == pytest.approx([0.5, 0.5], abs=0.04)


@pytest.mark.parametrize("order", [1, -1])
def test_a_region_without_an_acceptable_location_is_skipped(caplog, order):
    thin = np.full((20, 20, 20), UNLABELLED)
    thin[:, :, :5] = 1
    regions = [make_region(thin, "thin"), make_region(np.ones((20, 20, 20)), "full")][::order]
    fractions = draw_fractions(regions, config(), 200)
    assert fractions.tolist() == [0, 1][::order]
    (record,) = caplog.records
    assert (
        "[[train]] thin is skipped: no patch in it has a usable output of 10^3 voxels"
        in record.message
    )
    assert PatchSampler(regions, config()).usable_regions == [1, 0][::order][:1]


def test_a_patch_that_does_not_fit_the_network():
    with pytest.raises(ValueError, match=r"'patch': 29 voxels do not fit the network; take 30, or"):
        patch_output_edge(config(patch=29))
