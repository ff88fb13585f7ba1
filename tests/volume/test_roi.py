import pytest
from hypothesis import given
from hypothesis import strategies as st

from asem.volume.roi import Roi, parse_roi

triples = st.tuples(*[st.integers(-9, 9)] * 3)
shapes = st.tuples(*[st.integers(0, 9)] * 3)
rois = st.builds(Roi, triples, shapes)


def test_end_size_slices():
    roi = Roi((1, 2, 3), (4, 5, 6))
    assert (roi.end, roi.size) == ((5, 7, 9), 120)
    assert roi.slices == (slice(1, 5), slice(2, 7), slice(3, 9))


@given(rois, rois)
def test_the_common_part_is_in_both(a, b):
    common = a.intersect(b)
    if common.size:
        assert a.contains(common)
        assert b.contains(common)
    assert common.size == b.intersect(a).size


@given(rois, st.tuples(*[st.integers(0, 5)] * 3))
def test_growing_and_shrinking_undo_each_other(roi, halo):
    grown = roi.grow(halo)
    assert grown.contains(roi) or roi.size == 0
    assert grown.shift(halo).offset == roi.offset


def test_a_negative_offset_is_no_index():
    with pytest.raises(ValueError, match="starts before its array"):
        _ = Roi((-1, 0, 0), (2, 2, 2)).slices


def test_a_negative_shape_is_refused():
    with pytest.raises(ValueError, match="negative shape"):
        Roi((0, 0, 0), (1, -1, 1))


def test_text_round_trip():
    roi = parse_roi("1:4,:,5:", (8, 9, 10))
    assert roi == Roi((1, 0, 5), (3, 9, 5))
    assert parse_roi(str(roi), (8, 9, 10)) == roi


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1:4,2:3", "is no ROI; write z0:z1,y0:y1,x0:x1"),
        ("1:4,2:3,-1:4", "is no ROI"),
        ("4:4,:,:", "is empty"),
        ("5:4,:,:", "is empty"),
        ("0:9,:,:", "leaves the volume, which has 0:8,0:9,0:10"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(ValueError, match=message):
        parse_roi(text, (8, 9, 10))
