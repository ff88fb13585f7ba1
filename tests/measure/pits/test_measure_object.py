"""Objects that cannot be measured."""

import numpy as np
import pytest

from asem.measure.pits.measure_object import OBJECT_REACH_NM, measure_object


@pytest.mark.parametrize(("grey", "flag"), [(7.0, "no_outline"), (np.nan, "cut")])
def test_an_image_without_contrast_has_no_outline(grey, flag):
    patch = np.full((24, 24, 24), grey, np.float32)
    found = measure_object(patch, (-OBJECT_REACH_NM,) * 3, (20.0,) * 3, (0.0, 0.0, 0.0))
    assert found.flags == (flag,)
    assert np.isnan(found.lengths_nm).all()
