import numpy as np
import pytest

from asem.phantom.compartments import MITOCHONDRION, OUTSIDE
from asem.phantom.frame import Frame
from asem.phantom.membrane_layers import Layers
from asem.phantom.specimen import STAINS, sample_noise, stain_block
from asem.phantom.stain_kernels import DOT_NM
from asem.volume.roi import Roi

SHAPE = (40, 48, 56)
SIZE = (5.0, 4.0, 6.0)
WHOLE = Roi((20, 10, 30), SHAPE)
PART = Roi((28, 22, 41), (12, 20, 18))
DRIFT = np.random.default_rng(0).normal(size=(100, 2))
NOISES = ((200.0, 90.0), (90.0, 45.0))


def make_layers(number=1):
    """Cytosol, and a mitochondrion at high y whose membrane is plane."""
    frame = Frame.of_block(WHOLE, SIZE, DRIFT)
    depth = 100 - 4.0 * np.arange(SHAPE[1], dtype=np.float32)
    distance = np.broadcast_to(depth[:, None], SHAPE).copy()
    layers = Layers(
        distance=np.abs(distance) * np.sign(distance),
        kind=np.full(SHAPE, MITOCHONDRION, np.uint8),
        number=np.full(SHAPE, number, np.uint32),
        along=np.zeros(SHAPE, np.float32),
        nucleus=np.full(SHAPE, 1e4, np.float32),
        gap=np.full(SHAPE, 1e4, np.float32),
        pore=np.zeros(SHAPE, np.uint32),
    )
    return layers, frame


def stain_roi(layers, roi, config):
    frame = Frame.of_block(roi, SIZE, DRIFT)
    noises = tuple(sample_noise(frame, lengths, 5) for lengths in NOISES)
    return stain_block(layers, frame, np.array(roi.offset), config, noises, 7)


def crop(layers, roi):
    cut = tuple(
        slice(a - b, a - b + n) for a, b, n in zip(roi.offset, WHOLE.offset, roi.shape, strict=True)
    )
    return Layers(**{name: np.ascontiguousarray(v[cut]) for name, v in vars(layers).items()}), cut


@pytest.fixture(scope="module")
def density():
    return stain_roi(make_layers()[0], WHOLE, STAINS["hpfs"])


def test_noise_is_the_same_in_any_frame_and_stays_within_its_range():
    whole, part = (Frame.of_block(roi, SIZE, DRIFT) for roi in (WHOLE, PART))
    _, cut = crop(make_layers()[0], PART)
    large, small = (sample_noise(f, NOISES[0], 5).interpolate(f) for f in (whole, part))
    np.testing.assert_array_equal(large[cut], small)
    assert np.abs(large).max() < 1.6
    assert large.std() > 0.15
    assert not np.allclose(large, sample_noise(whole, NOISES[0], 6).interpolate(whole))


def test_a_block_with_its_halo_is_stained_as_the_same_part_of_a_larger_one(density):
    layers, cut = crop(make_layers()[0], PART)
    part = stain_roi(layers, PART, STAINS["hpfs"])
    halo = [int(np.ceil(DOT_NM / size)) for size in SIZE]
    inner = tuple(slice(h, n - h) for h, n in zip(halo, PART.shape, strict=True))
    np.testing.assert_array_equal(part[inner], density[cut][inner])


def test_the_membrane_is_darker_than_both_sides(density):
    profile = density.mean(axis=(0, 2))
    assert np.argmax(profile[20:30]) + 20 == 25
    assert profile[25] > profile[:20].mean() + 0.4


def test_cristae_are_parallel_and_differ_between_mitochondria():
    """Along cristae the density is smoother than across them."""
    config = STAINS["hpfs"].model_copy(update={"matrix_granules": 0.0, "grain": 0.0})
    inside = np.s_[:, 32:, :]
    first, second = (stain_roi(make_layers(n)[0], WHOLE, config)[inside] for n in (1, 2))
    assert not np.allclose(first, second)
    assert first.max() > 0.7 > 0.4 > np.median(first)
    steps = np.stack(np.gradient(first, *SIZE), -1).reshape(-1, 3)
    strength = np.linalg.eigvalsh(steps.T @ steps)
    assert strength[2] > 3 * strength[1]


def test_dots_have_the_given_frequency():
    """Without texture and grain, all that is denser than the cytosol is a dot."""
    layers, _ = make_layers()
    free = Layers(
        **{**vars(layers), "distance": np.full(SHAPE, 500, np.float32),
           "kind": np.full(SHAPE, OUTSIDE, np.uint8)}
    )  # fmt: skip
    config = STAINS["hpfs"].model_copy(update={"grain": 0.0, "cytosol": 0.0, "ribosome": 1.0})
    none, few, many = (
        np.count_nonzero(
            stain_roi(free, WHOLE, config.model_copy(update={"ribosomes": (p, 0.0)})) > 0.01
        )
        for p in (0.0, 0.2, 0.4)
    )
    assert none == 0
    assert many / few == pytest.approx(1.8, abs=0.3)


def test_grain_varies_less_in_larger_voxels():
    layers, _ = make_layers()
    config = STAINS["hpfs"].model_copy(update={"ribosomes": (0.0, 0.0)})
    plain = config.model_copy(update={"grain": 0.0})
    grain = (stain_roi(layers, WHOLE, config) - stain_roi(layers, WHOLE, plain))[:, :20]
    expected = config.grain * np.sqrt(125 / np.prod(SIZE) * config.cytosol)
    assert grain.std() == pytest.approx(expected, rel=0.05)
