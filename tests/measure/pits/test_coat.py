"""The signal of a coat."""

import numpy as np
import pytest

from asem.measure.pits.coat import (
    CAVEOLA_WIDTH_NM,
    LARGEST_BARE,
    OFFSETS_NM,
    SMALLEST_SIGNAL,
    coat_signal,
    is_coated,
)


def test_the_signal_is_the_darkness_beside_the_membrane_over_that_of_the_cytosol():
    profile = np.where(OFFSETS_NM <= 21, 0.5, 0.1)
    assert coat_signal(np.tile(profile, (6, 1))) == pytest.approx(0.4)
    assert coat_signal(np.full((6, len(OFFSETS_NM)), 0.3)) == pytest.approx(0)


def test_dark_spots_of_the_cytosol_and_what_is_unknown_do_not_count():
    profiles = np.tile(np.where(OFFSETS_NM <= 21, 0.5, 0.1), (6, 1))
    profiles[0, -4:] = 0.9
    profiles[1, -4:] = np.nan
    assert coat_signal(profiles) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("signal", "lengths", "coated"),
    [
        (SMALLEST_SIGNAL + 0.01, (60.0, 80.0, 30.0), True),
        (LARGEST_BARE - 0.01, (110.0, 95.0, 25.0), False),
        ((SMALLEST_SIGNAL + LARGEST_BARE) / 2, (60.0, 80.0, 30.0), False),
        ((SMALLEST_SIGNAL + LARGEST_BARE) / 2, (60.0, 80.0, 75.0), True),
        ((SMALLEST_SIGNAL + LARGEST_BARE) / 2, (60.0, CAVEOLA_WIDTH_NM + 1, 30.0), True),
        ((SMALLEST_SIGNAL + LARGEST_BARE) / 2, (110.0, 95.0, 25.0), True),
        ((SMALLEST_SIGNAL + LARGEST_BARE) / 2, (np.nan, 80.0, np.nan), True),
    ],
)
def test_between_the_limits_the_size_of_caveolae_decides(signal, lengths, coated):
    assert is_coated(signal, *lengths) is coated
