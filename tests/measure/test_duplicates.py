"""Masks of one object: it counts once, whatever a person decided about each of them."""

import numpy as np
import pytest

from asem.measure.duplicates import flag_duplicates
from asem.measure.review_decisions import Decision, Review, reject_objects


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("", ""), ("", "duplicate")),
        (("reject", ""), ("rejected", "duplicate")),  # the same object, which a person rejected
        (("reject", "accept"), ("rejected", "")),
        (("accept", "accept"), ("", "duplicate")),
        (("reject", "reject"), ("rejected", "duplicate;rejected")),
    ],
)
def test_an_object_with_two_masks_counts_once(words, expected):
    centre_nm, size_nm = np.array([[0.0, 0, 0], [0, 0, 9]]), np.array([90.0, 90])
    review = Review({row: Decision(row, word, (0, 0, 0)) for row, word in enumerate(words)})
    flags = [[], []]
    flag_duplicates(flags, centre_nm, size_nm, np.array([0, 1]), review)
    reject_objects(flags, review)
    assert tuple(map(";".join, flags)) == expected
