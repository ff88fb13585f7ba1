import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from asem.model.config import AugmentConfig, ModelConfig, SamplingConfig, TrainConfig
from asem.training import sampling
from asem.training.patches import HostCutter
from asem.training.regions import Sample
from asem.training.sampling import Sampler, patch_output, weigh
from asem.training.targets import BEYOND, FOREGROUND, UNKNOWN
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
        "augment": AugmentConfig.off(),
        **changes,
    }
    return TrainConfig.model_validate(settings)


def plain_sample(target, name="sample"):
    """Return a sample of a volume that is white where its foreground is, with some black around."""
    target = np.asarray(target, np.uint8)
    raw = np.pad(np.where(target == FOREGROUND, 255, 0).astype(np.uint8), 12)
    volume = Volume(raw, (10.0, 10.0, 10.0))
    known = int(np.count_nonzero(target < BEYOND))
    foreground = int(np.count_nonzero(target == FOREGROUND))
    place, window = (12, 12, 12), (0.0, 255.0)
    return Sample(volume, target, window, place, (0, 0, 0), known, (), foreground, name)


def outputs(samples, settings, number, *, start=0):
    """Return the targets of the patches of `number` seeds."""
    sampler, cutter = Sampler(samples, settings), HostCutter(samples)
    draws = [sampler.draw(np.random.default_rng(n)) for n in range(start, start + number)]
    return [cutter.cut(draw, sampler.edge)[1].numpy() for draw in draws]


def test_the_output_of_these_patches():
    assert patch_output(config()) == EDGE


def test_a_patch_is_raw_with_its_target_at_the_centre(rng):
    samples = [plain_sample(rng.integers(0, 2, (20, 20, 20)))]
    sampler = Sampler(samples, config())
    grey, target = HostCutter(samples).cut(sampler.draw(rng), sampler.edge)
    assert grey.shape == (28,) * 3
    assert target.shape == (EDGE,) * 3
    centre = (slice(9, 19),) * 3
    assert np.allclose(grey[centre], np.where(target == 1, 1.0, -1.0), atol=1e-6)


@given(
    target=arrays(
        np.uint8,
        st.tuples(*[st.integers(1, 9)] * 3),
        elements=st.sampled_from([0, FOREGROUND, UNKNOWN]),
    ),
    edge=st.integers(1, 6),
    limits=st.tuples(st.floats(0, 1), st.floats(0, 0.99), st.floats(0, 0.99)),
)
def test_weights_are_those_of_looking_at_every_place(target, edge, limits):
    rules = SamplingConfig(min_foreground=limits[0], reject=limits[1], max_outside=limits[2])
    places = weigh(target, edge, rules)
    expected = []
    for z in places.starts[0]:
        for y in places.starts[1]:
            for x in places.starts[2]:
                box = target[max(z, 0) : z + edge, max(y, 0) : y + edge, max(x, 0) : x + edge]
                outside = (box == UNKNOWN).sum() > rules.max_outside * edge**3
                poor = (box == FOREGROUND).sum() < rules.min_foreground * edge**3
                expected.append(0 if outside else 1 - rules.reject if poor else 1)
    assert places.stride == 1
    weights = np.diff(places.below, prepend=0) * places.below.size
    assert np.allclose(weights, expected, atol=1e-9)


def test_every_place_is_drawn_and_none_beyond():
    target = np.ones((11, 12, 4))
    places = weigh(target.astype(np.uint8), 10, SamplingConfig())
    seen = {tuple(places.draw(np.random.default_rng(n))) for n in range(200)}
    assert seen == {(z, y, -3) for z in (0, 1) for y in (0, 1, 2)}


def test_a_large_sample_is_weighed_in_steps(monkeypatch):
    """Each weighed place stands for those up to the next; all are drawn, none reaches beyond."""
    monkeypatch.setattr(sampling, "MOST_PLACES", 200)
    target = np.zeros((23, 17, 40), np.uint8)
    target[:, :, :20] = 1
    places = weigh(target, 10, SamplingConfig(min_foreground=0.9, reject=0.9999))
    assert places.stride == 4
    starts = np.array([places.draw(np.random.default_rng(n)) for n in range(3000)])
    assert (starts.min(0) == 0).all()
    assert (starts.max(0)[:2] == [13, 7]).all()
    assert starts[:, 2].max() <= 8 + 3  # the last place of enough foreground, and its step
    assert len(np.unique(starts[:, 0])) == 14


def test_places_between_the_weighed_ones_keep_to_the_rules(monkeypatch):
    monkeypatch.setattr(sampling, "MOST_PLACES", 200)
    target = np.full((23, 37, 40), UNKNOWN, np.uint8)
    target[2:18, 3:21, 5:30] = 0
    target[2:18, 3:21, 20:30] = FOREGROUND
    places = weigh(target, 10, SamplingConfig(min_foreground=0.2, reject=0.95, max_outside=0.25))
    assert places.stride == 4
    poor = 0
    for n in range(1000):
        z, y, x = places.draw(np.random.default_rng(n))
        box = target[z : z + 10, y : y + 10, x : x + 10]
        assert (box == UNKNOWN).sum() <= 250
        poor += (box == FOREGROUND).sum() < 200
    assert 0 < poor < 100


def test_poor_patches_are_mostly_rejected():
    target = np.zeros((20, 20, 400))
    target[:, :, :200] = 1  # half of all places are all foreground
    for reject, expected in ((0.0, 0.5), (0.9, 10 / 11)):
        settings = config(sampling=SamplingConfig(reject=reject))
        drawn = [one.any() for one in outputs([plain_sample(target)], settings, 300)]
        assert np.mean(drawn) == pytest.approx(expected, abs=0.08)


def test_patches_of_unknown_voxels_are_always_rejected():
    target = np.zeros((20, 20, 200))
    target[:, :, 20:] = UNKNOWN
    for one in outputs([plain_sample(target)], config(), 50):
        assert np.mean(one == UNKNOWN) <= 0.25
    target[:, :, 6:] = UNKNOWN
    with pytest.raises(
        ValueError, match=r"no block of 10\^3 voxels may be trained on: more than 25%"
    ):
        Sampler([plain_sample(target)], config())


def shares(samples, settings, number=2000):
    """Return how often each sample is drawn."""
    sampler = Sampler(samples, settings)
    draws = [sampler.draw(np.random.default_rng(n)).sample for n in range(number)]
    return np.bincount(draws, minlength=len(samples)) / number


@pytest.mark.parametrize("reject", [0, 0.9])
def test_samples_are_drawn_by_their_known_voxels(reject):
    """However rich they are: places are rejected inside the sample that was drawn."""
    settings = config(sampling=SamplingConfig(reject=reject))
    poor, rich = np.zeros((20, 20, 20)), np.ones((20, 20, 20))
    poor[8, 8, 8] = 1
    equal = shares([plain_sample(poor), plain_sample(rich)], settings)
    assert equal == pytest.approx([0.5, 0.5], abs=0.04)
    larger = shares([plain_sample(np.zeros((20, 20, 60))), plain_sample(rich)], settings)
    assert larger == pytest.approx([0.75, 0.25], abs=0.04)
    masked = np.ones((20, 20, 40))
    masked[:, :, 20:] = UNKNOWN
    equal = shares([plain_sample(poor), plain_sample(masked)], settings)
    assert equal == pytest.approx([0.5, 0.5], abs=0.04)


@pytest.mark.parametrize("order", [1, -1])
def test_a_sample_without_an_acceptable_place_is_left_out(caplog, order):
    thin = np.full((20, 20, 20), UNKNOWN)
    thin[:, :, :5] = 1
    samples = [plain_sample(thin, "thin"), plain_sample(np.ones((20, 20, 20)), "full")][::order]
    drawn = shares(samples, config(), 200)
    assert drawn.tolist() == [0, 1][::order]
    (record,) = caplog.records
    assert "[[train]] thin is left out: no block of 10^3 voxels in it" in record.message
    assert Sampler(samples, config()).drawn == [1, 0][::order][:1]


def test_a_patch_that_does_not_fit_is_told_with_one_that_does():
    with pytest.raises(ValueError, match=r"'patch': 29 voxels do not fit the network; take 30 or"):
        patch_output(config(patch=29))
