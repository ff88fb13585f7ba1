import json
from fractions import Fraction
from itertools import pairwise
from math import floor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from asem.annotate.edits import MAX_COORDINATE, ObjectDecision, Stroke, edit_from_json
from asem.volume.roi import Roi
from extremes import bounded

VOLUME = (6, 7, 8)
STROKE = {
    "mark": "stroke",
    "kind": 1,
    "axis": 0,
    "radius": 1.5,
    "square": False,
    "path": [[3, 1, 2], [3, 4, 2]],
}
DECISION = {"mark": "decision", "kind": 2, "runs": [[3, 1, 2, 4]]}


def line(path):
    """Join points by straight lines, one voxel for each step along the longer axis."""
    found = [path[0]]
    for start, stop in pairwise(path):
        way = [b - a for a, b in zip(start, stop, strict=True)]
        steps = max(map(abs, way))
        for step in range(1, steps + 1):
            found.append(
                tuple(
                    a + floor(Fraction(w * step, steps) + Fraction(1, 2))
                    for a, w in zip(start, way, strict=True)
                )
            )
    return found


def naive(stroke, window):
    """Return which voxels of a window a stroke covers, tested one by one."""
    covered = np.zeros(window.shape, bool)
    for index in np.ndindex(window.shape):
        here = np.add(index, window.offset)
        for voxel in line(stroke.path):
            z, y, x = np.abs(here - voxel)
            apart = [d for axis, d in enumerate((z, y, x)) if axis != stroke.axis]
            near = max(apart) <= stroke.radius
            if not stroke.square:
                near = apart[0] ** 2 + apart[1] ** 2 <= stroke.radius**2
            covered[index] |= near and (z, y, x)[stroke.axis] == 0
    return covered


def drawn(edit, window):
    canvas = np.zeros(window.shape, bool)
    index = edit.covered_voxels(window)
    assert len({len(along) for along in index}) == 1
    assert all((along >= 0).all() for along in index)
    canvas[index] = True
    return canvas


def picture(edit, shape):
    return ["".join(np.where(row, "#", ".")) for row in drawn(edit, Roi.of_shape(shape))[0]]


@st.composite
def stroke_of(draw):
    """A stroke in or near the volume."""
    axis = draw(st.integers(0, 2))
    plane = draw(st.integers(-1, VOLUME[axis]))
    points = st.tuples(*(st.integers(-3, size + 2) for size in VOLUME))
    path = draw(st.lists(points, min_size=1, max_size=4))
    path = tuple(tuple(plane if a == axis else p for a, p in enumerate(point)) for point in path)
    radius = draw(st.sampled_from([0, 0.5, 1, 1.5, 2.0, 2.9, 4]))
    return Stroke(draw(st.integers(0, 2)), axis, radius, draw(st.booleans()), path)


@st.composite
def window_of(draw):
    """A window of the volume, not empty."""
    spans = [
        sorted(draw(st.lists(st.integers(0, size), min_size=2, max_size=2, unique=True)))
        for size in VOLUME
    ]
    return Roi.from_bounds([start for start, _ in spans], [stop for _, stop in spans])


@st.composite
def decision_of(draw):
    """A decision on some voxels of a window of the volume."""
    window = draw(window_of())
    voxels = draw(arrays(bool, window.shape))
    voxels[tuple(draw(st.integers(0, size - 1)) for size in window.shape)] = True
    return ObjectDecision.from_mask(draw(st.integers(1, 2)), voxels, window.offset)


def test_a_stroke_through_three_points():
    stroke = Stroke(1, axis=0, radius=1, square=False, path=((0, 1, 1), (0, 1, 5), (0, 3, 6)))
    assert picture(stroke, (1, 5, 8)) == [
        ".#####..",
        "#######.",
        ".#######",
        ".....###",
        "......#.",
    ]


def test_a_thin_stroke_has_no_gaps():
    stroke = Stroke(1, axis=0, radius=0, square=True, path=((0, 0, 0), (0, 2, 7), (0, 2, 7)))
    assert picture(stroke, (1, 3, 8)) == ["##......", "..####..", "......##"]


@pytest.mark.parametrize(
    ("radius", "square", "expected"),
    [
        (0.9, False, [".....", ".....", "..#..", ".....", "....."]),
        (1, False, [".....", "..#..", ".###.", "..#..", "....."]),
        (1.5, False, [".....", ".###.", ".###.", ".###.", "....."]),
        (2, False, ["..#..", ".###.", "#####", ".###.", "..#.."]),
        (1, True, [".....", ".###.", ".###.", ".###.", "....."]),
    ],
)
def test_brushes(radius, square, expected):
    assert picture(Stroke(1, 0, radius, square, ((0, 2, 2),)), (1, 5, 5)) == expected


@given(stroke_of())
def test_a_stroke_covers_what_is_near_its_line(stroke):
    assert np.array_equal(drawn(stroke, Roi.of_shape(VOLUME)), naive(stroke, Roi.of_shape(VOLUME)))


@given(stroke_of() | decision_of(), window_of())
def test_a_window_has_the_part_of_the_whole(edit, window):
    whole = drawn(edit, Roi.of_shape(VOLUME))
    assert np.array_equal(drawn(edit, window), whole[window.slices])


@given(stroke_of() | decision_of())
def test_the_box_is_the_smallest(edit):
    around = Roi.of_shape(VOLUME).grow((9, 9, 9))
    found = np.argwhere(drawn(edit, around)) + around.offset
    assert edit.box == Roi.from_bounds(found.min(axis=0), found.max(axis=0) + 1)


@given(st.lists(st.tuples(st.integers(-90, 90), st.integers(-90, 90)), min_size=1, max_size=5))
def test_a_line_goes_through_its_points_in_one_piece(points):
    path = tuple((y, 4, x) for y, x in points)
    stroke = Stroke(2, axis=1, radius=0, square=False, path=path)
    canvas = drawn(stroke, stroke.box)
    assert canvas[tuple(np.transpose(np.subtract(path, stroke.box.offset)))].all()
    assert ndimage.label(canvas, np.ones((3, 3, 3)))[1] == 1
    assert canvas.sum() <= len(line(path))


def test_a_stroke_in_another_plane_or_place_covers_nothing():
    stroke = Stroke(1, axis=0, radius=3, square=True, path=((5, 20, 20),))
    canvas = np.zeros((4, 8, 8), np.uint8)
    for offset in [(6, 16, 16), (1, 16, 16), (4, 24, 16), (4, 16, 9), (4, 9, 16)]:
        canvas[stroke.covered_voxels(Roi(offset, canvas.shape))] = 1
        assert not canvas.any()
    canvas[stroke.covered_voxels(Roi((2, 23, 10), canvas.shape))] = 1
    assert np.argwhere(canvas).tolist() == [[3, 0, 7]]


@given(
    st.lists(
        st.tuples(st.integers(-60, 70), st.integers(-60, 70)) | st.tuples(*[st.sampled_from(
            [-MAX_COORDINATE, -1000, 4, 1000, MAX_COORDINATE]
        )] * 2), min_size=1, max_size=4,
    ),
    st.sampled_from([0, 1, 7.5, 40, 70.25, 1000]),
    st.booleans(),
)  # fmt: skip
@example([(-MAX_COORDINATE, 4), (MAX_COORDINATE, 4)], 0, False)
@example([(-MAX_COORDINATE, -MAX_COORDINATE), (MAX_COORDINATE, MAX_COORDINATE - 1)], 0, True)
@example([(4, 1004), (1004, 4)], 1000, False)
def test_points_far_outside_a_window_count(points, radius, square):
    window = Roi((3, 0, 0), (1, 9, 9))
    stroke = Stroke(1, 0, radius, square, tuple((3, y, x) for y, x in points))
    assert np.array_equal(drawn(stroke, window), near_lines(stroke, window))


def near_lines(stroke, window):
    """Return which voxels of a window a stroke covers: all voxels of its lines within reach."""
    y, x = np.indices(window.shape[1:])
    covered = np.zeros(window.shape[1:], bool)
    reach = int(stroke.radius) + max(window.shape)
    for start, stop in pairwise((*stroke.path, stroke.path[-1])):
        way = np.subtract(stop, start)[1:]
        steps = max(*np.abs(way).tolist(), 1)
        along = np.arange(steps, dtype=np.int64)[:, None]
        places = np.array(start[1:]) + (2 * way * along + steps) // (2 * steps)
        places = places[(np.abs(places) <= reach).all(axis=1)]
        for part in np.array_split(places, len(places) // 1000 + 1):
            dy, dx = (np.abs(a[..., None] - b) for a, b in zip((y, x), part.T, strict=True))
            near = np.maximum(dy, dx) <= stroke.radius
            covered |= (near if stroke.square else dy**2 + dx**2 <= stroke.radius**2).any(axis=-1)
    return covered[None]


@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("spread", [200, 2000, MAX_COORDINATE])
def test_memory_of_a_stroke_is_that_of_its_window_and_radius(square, spread, rng):
    places = rng.integers(-spread, spread + 1, (20_000, 2)).tolist()
    stroke = Stroke(1, 0, 1000, square, tuple((0, y, x) for y, x in places))
    window = Roi((0, 0, 0), (2, 200, 200))
    with bounded(most_bytes=2**28):
        assert drawn(stroke, window)[0].all()


def test_memory_of_overlapping_runs_is_that_of_their_window():
    runs = np.tile(
        [[0, 1, -MAX_COORDINATE, MAX_COORDINATE], [0, 1, -3, 7], [1, 0, 190, MAX_COORDINATE]],
        (50_000, 1),
    )
    window = Roi((0, 0, 0), (2, 2, 200))
    with bounded(most_bytes=2**28):
        index = ObjectDecision(1, runs).covered_voxels(window)
    assert len(index[0]) == 4 + 10
    assert np.argwhere(drawn(ObjectDecision(1, runs), window)).tolist() == [
        *([0, 1, x] for x in range(4)), *([1, 0, x] for x in range(190, 200)),
    ]  # fmt: skip


def test_a_large_brush_far_from_its_window():
    stroke = Stroke(1, axis=2, radius=1000, square=False, path=((-900, -900, 0), (-700, -900, 0)))
    window = Roi((0, 0, 0), (3, 3, 1))
    assert not drawn(stroke, window).any()
    wide = Stroke(1, axis=2, radius=1000, square=True, path=stroke.path)
    assert drawn(wide, window).all()


def test_a_decision_is_stored_as_runs():
    voxels = np.array([[[1, 1, 0, 1], [0, 0, 0, 0]], [[0, 0, 0, 0], [1, 1, 1, 1]]], bool)
    decision = ObjectDecision.from_mask(2, voxels, (10, 20, 30))
    assert decision.runs.tolist() == [[10, 20, 30, 2], [10, 20, 33, 1], [11, 21, 30, 4]]
    assert decision.box == Roi((10, 20, 30), (2, 2, 4))
    assert np.array_equal(drawn(decision, Roi((10, 20, 30), voxels.shape)), voxels)
    with pytest.raises(ValueError, match="read-only"):
        decision.runs[0, 0] = 1


def test_a_decision_does_not_change_with_the_array_of_its_runs():
    runs = np.array([[0, 0, 0, 1]], np.int32)
    decision = ObjectDecision(1, runs)
    runs[0, 3] = 9
    assert decision.runs.tolist() == [[0, 0, 0, 1]]


@given(stroke_of() | decision_of())
def test_json_and_back(edit):
    text = json.dumps(edit.to_json())
    again = edit_from_json(json.loads(text))
    assert type(again) is type(edit)
    assert json.dumps(again.to_json()) == text
    assert isinstance(edit, ObjectDecision) or again == edit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": 3}, r"label of a stroke: 0 \(erase\), 1 .*, 2 .* \(given: 3\)"),
        ({"kind": True}, "label of a stroke.*given: True"),
        ({"kind": 1.0}, "label of a stroke.*given: 1.0"),
        ({"axis": 3}, r"axis of a stroke: 0 \(z\), 1 \(y\), 2 \(x\) \(given: 3\)"),
        ({"axis": False}, "axis of a stroke.*given: False"),
        ({"radius": -0.1}, r"radius of a stroke: 0 to 1000 voxels \(given: -0.1\)"),
        ({"radius": 1000.1}, "radius of a stroke.*given: 1000.1"),
        ({"radius": float("nan")}, "radius of a stroke.*given: nan"),
        ({"radius": "1"}, "radius of a stroke.*given: '1'"),
        ({"square": 1}, r"square of a stroke: True, False \(given: 1\)"),
        ({"path": []}, r"path of a stroke: points \(z, y, x\), integers .* 1000000, at least one"),
        ({"path": 7}, "path of a stroke.*given: 7"),
        ({"path": [7]}, r"path of a stroke.*given: \[7\]"),
        ({"path": [[3, 1]]}, r"path of a stroke.*given: \[\[3, 1\]\]"),
        ({"path": [[3, 1, 2], [3, 1, 2.0]]}, "path of a stroke"),
        ({"path": [[3, 1, True]]}, "path of a stroke"),
        ({"path": [[3, 1, MAX_COORDINATE + 1]]}, "path of a stroke"),
        ({"path": [[3, -MAX_COORDINATE - 1, 1]]}, "path of a stroke"),
        (
            {"path": [[3, 1, 2], [5, 1, 2], [4, 1, 2]]},
            "has to be in one plane; this one has planes 3 to 5 of axis 0",
        ),
        ({"colour": 1}, "keys of an edit: those of a stroke or object, and mark.*given: {'mark'"),
        ({"mark": "line"}, "keys of an edit"),
    ],
)
def test_bad_strokes(change, message):
    with pytest.raises(ValueError, match=message) as caught:
        edit_from_json({**STROKE, **change})
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": 0}, r"label of an object: 1 \(foreground\), 2 \(background\) \(given: 0\)"),
        ({"kind": True}, "label of an object.*given: True"),
        ({"runs": []}, r"runs of an object: rows of z, y, x and length, integers.*given: \[\]"),
        ({"runs": [[3, 1, 2]]}, "runs of an object"),
        ({"runs": [[3, 1, 2, 4], [3, 1, 2]]}, "runs of an object"),
        ({"runs": [[3, 1, 2, 0]]}, "runs of an object"),
        ({"runs": [[3, 1, 2, True]]}, "runs of an object"),
        ({"runs": [[3, 1, 2.0, 4]]}, "runs of an object"),
        ({"runs": [[3, 1, 10**30, 4]]}, "runs of an object"),
        ({"axis": 0}, "keys of an edit"),
    ],
)
def test_bad_decisions(change, message):
    with pytest.raises(ValueError, match=message):
        edit_from_json({**DECISION, **change})


@pytest.mark.parametrize("value", [None, 3, "stroke", [], {}, {"mark": ["stroke"]}])
def test_values_that_are_no_edit(value):
    with pytest.raises(ValueError, match="keys of an edit"):
        edit_from_json(value)


@pytest.mark.parametrize("given", [STROKE, DECISION])
def test_each_key_is_needed(given):
    assert edit_from_json(given).to_json() == given
    for key in given:
        with pytest.raises(ValueError, match="keys of an edit"):
            edit_from_json({k: v for k, v in given.items() if k != key})


def test_a_path_is_a_tuple_of_tuples():
    for path in [[(0, 0, 0)], ([0, 0, 0],), ((np.int64(0), 0, 0),)]:
        with pytest.raises(ValueError, match="path of a stroke"):
            Stroke(1, 0, 1, False, path)


@pytest.mark.parametrize(
    "runs",
    [
        np.zeros((0, 4), int),
        np.ones((2, 3), int),
        np.ones(4, int),
        np.ones((1, 4)),
        np.ones((1, 4), bool),
        np.array([[0, 0, 0, 0]]),
        np.array([[0, 0, -MAX_COORDINATE - 1, 1]]),
        np.array([[0, 0, 0, MAX_COORDINATE + 1]]),
    ],
)
def test_bad_runs(runs):
    with pytest.raises(ValueError, match="runs of an object"):
        ObjectDecision(1, runs)


@pytest.mark.parametrize(
    ("voxels", "given"),
    [
        (np.zeros((2, 2, 2), bool), r"bool of shape \(2, 2, 2\), 0 not 0"),
        (np.ones((2, 2, 2), np.uint8), r"uint8 of shape \(2, 2, 2\), 8 not 0"),
        (np.ones((2, 2), bool), r"bool of shape \(2, 2\), 4 not 0"),
    ],
)
def test_a_decision_needs_voxels(voxels, given):
    with pytest.raises(ValueError, match=f"bool, three axes, True somewhere.*{given}"):
        ObjectDecision.from_mask(1, voxels, (0, 0, 0))
