import os
import resource
import signal
import subprocess
import sys
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asem.annotate.edits import ObjectDecision, Stroke
from asem.annotate.session import AnnotationSession
from asem.annotate.structure_annotation import StructureAnnotation
from asem.annotate.window_files import PriorPrediction
from asem.volume.roi import Roi

SHAPE = (4, 5, 6)
WHOLE = Roi.of_shape(SHAPE)
HERE, ADJACENT = Roi((0, 0, 0), (2, 3, 4)), Roi((2, 0, 0), (2, 5, 4))
DRAWN = (
    '{"draw": {"mark": "stroke", "kind": 1, "axis": 0, "radius": 1, "square": false, '
    '"path": [[0, 0, 0]]}}'
)
# Adds stroke after stroke until it is killed, and prints a number after each.
DRAWING = """
import sys
from pathlib import Path
from asem.annotate.session import AnnotationSession
from asem.annotate.edits import Stroke

annotation = AnnotationSession.open(Path(sys.argv[1]), "raw", (4, 5, 6)).open_structure("mito")
for number in range(10**6):
    annotation.add_edit(Stroke(1, 0, number / 10**6, False, ((0, 0, 0),) * 50))
    print(number, flush=True)
"""


def dot(*at, label=1, radius=0):
    return Stroke(label, axis=0, radius=radius, square=True, path=(at,))


def decision(label, window):
    return ObjectDecision.from_mask(label, np.ones(window.shape, bool), window.offset)


def state(annotation):
    """Return everything that an annotation returns."""
    return (
        [edit.to_json() for edit in annotation.edits],
        annotation.can_undo,
        annotation.can_redo,
        annotation.stroke_labels(WHOLE).tolist(),
        [
            (window, annotation.read_labels(window).tolist())
            for window in annotation.accepted_windows
        ],
        [predicted(annotation, window) for window in (HERE, ADJACENT)],
    )


def predicted(annotation, window):
    found = annotation.read_prediction(window)
    return found and (found.probability.tolist(), found.model)


def state_on_disk(annotation):
    """Close it and return the state after opening it again."""
    annotation.close()
    after = opened(annotation.folder)
    try:
        return state(after)
    finally:
        after.close()


def opened(folder):
    """Open an annotation without its session."""
    return StructureAnnotation(folder, WHOLE, StringIO())


@contextmanager
def unsynced():
    """Yield an annotation in a folder of its own, without fsync, for speed."""
    with TemporaryDirectory() as folder, patch("os.fsync"):
        annotation = opened(Path(folder))
        yield annotation
        annotation.close()


def test_later_edits_replace_earlier_ones_and_undo_restores_them(annotation):
    """Foreground, background over its right half, erased in the middle of both::

    1 1 1 1      1 1 2 2      1 0 0 2
    """
    row = Roi((1, 2, 0), (1, 1, 4))
    annotation.add_edit(Stroke(1, 0, 0, False, ((1, 2, 0), (1, 2, 3))))
    annotation.add_edit(decision(2, Roi((1, 2, 2), (1, 1, 2))))
    annotation.add_edit(Stroke(0, 0, 0, False, ((1, 2, 1), (1, 2, 2))))
    assert annotation.stroke_labels(row).tolist() == [[[1, 0, 0, 2]]]
    assert annotation.stroke_labels(row).dtype == np.uint8
    erasing, last = annotation.undo(), annotation.edits[1]
    assert erasing.label == 0
    assert annotation.stroke_labels(row).tolist() == [[[1, 1, 2, 2]]]
    assert annotation.undo() is last
    assert annotation.stroke_labels(row).tolist() == [[[1, 1, 1, 1]]]
    assert annotation.redo() is last
    assert annotation.stroke_labels(row).tolist() == [[[1, 1, 2, 2]]]


def test_undone_edits_are_discarded_by_the_next_one(annotation):
    first, second, third = dot(0, 0, 0), dot(0, 0, 1), dot(0, 0, 2)
    annotation.add_edit(first)
    annotation.add_edit(second)
    annotation.undo()
    assert annotation.can_redo
    annotation.add_edit(third)
    assert not annotation.can_redo
    assert annotation.redo() is None
    assert annotation.edits == (first, third)


def test_nothing_to_undo_or_redo(annotation):
    assert annotation.undo() is None
    assert annotation.redo() is None
    assert not annotation.can_undo
    annotation.add_edit(dot(0, 0, 0))
    assert annotation.redo() is None
    assert (annotation.folder / "log.jsonl").read_text().count("\n") == 1


corners = st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 5))
dots = st.builds(dot, *map(st.integers, (0, 0, 0), (3, 4, 5)), label=st.integers(0, 2))
boxes = st.builds(
    lambda a, b: Roi.from_bounds(map(min, a, b), np.maximum(a, b) + 1), corners, corners
)
decisions = st.builds(decision, st.integers(1, 2), boxes)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["undo", "undo", "redo"]) | dots | decisions, max_size=25), boxes)
def test_any_sequence_is_as_with_copies_of_the_whole(steps, window):
    """The reference stores the whole volume after each edit, and the volumes that were undone."""
    with unsynced() as annotation:
        volumes, undone = [np.zeros(SHAPE, np.uint8)], []
        for step in steps:
            if step == "undo":
                assert (annotation.undo() is None) == (len(volumes) == 1)
                undone += [volumes.pop()] if len(volumes) > 1 else []
            elif step == "redo":
                assert (annotation.redo() is None) == (not undone)
                volumes += [undone.pop()] if undone else []
            else:
                annotation.add_edit(step)
                volume = volumes[-1].copy()
                volume[step.box.slices] = step.label  # dots and boxes fill their boxes
                volumes.append(volume)
                undone = []
            assert annotation.can_undo == (len(volumes) > 1)
            assert annotation.can_redo == bool(undone)
            assert np.array_equal(annotation.stroke_labels(WHOLE), volumes[-1])
            assert np.array_equal(annotation.stroke_labels(window), volumes[-1][window.slices])
        assert state(annotation) == state_on_disk(annotation)


def prediction_of(window):
    values = np.random.default_rng(2).integers(0, 256, window.shape, np.uint8)
    return PriorPrediction(values, {"network": "runs/mito", "weights": "ab12"})


def fill(annotation):
    """Apply each kind of event; return the state after 0, 1, ... events."""
    labels = np.random.default_rng(1).random((2, *HERE.shape)) < 0.5
    happened = [
        lambda: annotation.add_edit(dot(0, 0, 0)),
        lambda: annotation.accept_window(HERE, labels[0]),
        lambda: annotation.add_edit(decision(2, ADJACENT)),
        lambda: annotation.add_edit(dot(3, 4, 5, radius=2)),
        annotation.undo,
        annotation.undo,
        annotation.redo,
        lambda: annotation.accept_window(ADJACENT, np.ones(ADJACENT.shape, bool)),
        lambda: annotation.store_prediction(HERE, prediction_of(HERE)),
        lambda: annotation.store_prediction(ADJACENT, prediction_of(ADJACENT)),
        lambda: annotation.discard_prediction(HERE),
        lambda: annotation.reopen_window(HERE),
        lambda: annotation.add_edit(dot(1, 1, 1, label=0)),
    ]
    states = [state(annotation)]
    for event in happened:
        event()
        states.append(state(annotation))
    return states


def test_a_log_cut_anywhere_is_the_state_after_some_events(annotation):
    states, path = fill(annotation), annotation.folder / "log.jsonl"
    log = path.read_bytes()
    annotation.close()
    assert log.count(b"\n") == len(states) - 1
    with patch("os.fsync"):
        for size in range(len(log) + 1):
            path.write_bytes(log[:size])
            reopened, expected = opened(annotation.folder), states[log[:size].count(b"\n")]
            assert state(reopened) == expected
            reopened.add_edit(dot(0, 1, 0))
            reopened.undo()
            assert state_on_disk(reopened) == (*expected[:2], True, *expected[3:])


def test_a_log_is_only_added_to_and_synced(annotation, monkeypatch):
    path, synced, fsync = annotation.folder / "log.jsonl", [], os.fsync

    def noted(file):
        fsync(file)
        synced.append((os.fstat(file).st_ino, path.read_bytes()))

    monkeypatch.setattr(os, "fsync", noted)
    before = b""
    for event in [lambda: annotation.add_edit(dot(0, 0, 0)), annotation.undo, annotation.redo]:
        event()
        after = path.read_bytes()
        assert after.startswith(before)
        assert after.count(b"\n") == before.count(b"\n") + 1
        assert synced[-1] == (path.stat().st_ino, after)
        before = after


def test_a_killed_process_loses_at_most_the_stroke_it_was_drawing(tmp_path):
    command = [sys.executable, "-c", DRAWING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as drawing:
        printed = [drawing.stdout.readline() for _ in range(20)]
        with pytest.raises(BlockingIOError, match=f"the annotation session {tmp_path} is open els"):
            AnnotationSession.open(tmp_path, "raw", SHAPE)
        drawing.send_signal(signal.SIGKILL)
        printed += drawing.stdout.readlines()
    assert drawing.returncode == -signal.SIGKILL
    with AnnotationSession.open(tmp_path, "raw", SHAPE) as session:
        annotation = session.open_structure("mito")
        assert len(annotation.edits) - len(printed) in (0, 1)
        assert [edit.radius * 10**6 for edit in annotation.edits] == pytest.approx(
            range(len(annotation.edits))
        )
        annotation.add_edit(dot(0, 0, 0))


def test_a_full_disk_leaves_the_state_as_it_was(annotation):
    annotation.add_edit(dot(0, 0, 0))
    before, log = state(annotation), annotation.folder / "log.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            annotation.add_edit(dot(0, 0, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert log.read_bytes()[-1:] != b"\n"
    assert state(annotation) == before
    annotation.add_edit(dot(0, 0, 2))
    assert state(annotation) == state_on_disk(annotation)


def test_accepted_windows(annotation, rng):
    first, second = rng.random(HERE.shape) < 0.5, rng.random(ADJACENT.shape) < 0.5
    annotation.accept_window(HERE, first)
    annotation.accept_window(ADJACENT, second)
    annotation.add_edit(dot(0, 0, 0))
    annotation.undo()
    annotation.close()
    after = opened(annotation.folder)
    assert list(after.accepted_windows) == [HERE, ADJACENT]
    assert np.array_equal(after.read_labels(HERE), first)
    assert np.array_equal(after.read_labels(ADJACENT), second)
    assert after.read_labels(HERE).dtype == np.bool_
    assert after.accepted_windows[HERE] == after.folder / "accepted/0-2_0-3_0-4.npz"
    after.accept_window(HERE, ~first)
    assert np.array_equal(after.read_labels(HERE), ~first)
    after.reopen_window(HERE)
    assert list(after.accepted_windows) == [ADJACENT]
    after.accept_window(Roi((1, 2, 3), (1, 2, 2)), np.zeros((1, 2, 2), bool))
    assert [window for window, _ in state_on_disk(after)[-2]] == [
        ADJACENT,
        Roi((1, 2, 3), (1, 2, 2)),
    ]


def test_accepted_cannot_be_changed_from_outside(annotation):
    annotation.accepted_windows[HERE] = Path("nowhere")
    assert not annotation.accepted_windows


@pytest.mark.parametrize("fails", ["numpy.savez_compressed", "os.fsync", "pathlib.Path.replace"])
def test_old_labels_stay_until_new_ones_are_on_disk(annotation, fails):
    annotation.accept_window(HERE, np.ones(HERE.shape, bool))
    before = state(annotation)

    def fail(file, *_, **__):
        if fails == "numpy.savez_compressed":
            file.write(b"half of")
        raise OSError("no space left")

    with patch(fails, fail):
        for window in (HERE, ADJACENT):
            with pytest.raises(OSError, match="no space left"):
                annotation.accept_window(window, np.zeros(window.shape, bool))
    assert state(annotation) == before
    assert state_on_disk(annotation) == before


def test_labels_are_on_disk_before_the_log_says_so(annotation):
    with (
        patch("asem.blocks.append_only_log.AppendOnlyLog.append", side_effect=OSError("killed")),
        pytest.raises(OSError, match="killed"),
    ):
        annotation.accept_window(HERE, np.ones(HERE.shape, bool))
    assert [path.name for path in annotation.folder.glob("accepted/*")] == ["0-2_0-3_0-4.npz"]
    assert not annotation.accepted_windows


@pytest.mark.parametrize(
    "window",
    [
        Roi((1, 0, 0), HERE.shape),
        Roi((0, 0, 0), (1, 1, 1)),
        WHOLE,
        Roi((0, 0, 3), (*HERE.shape[:2], 1)),
    ],
)
def test_windows_that_overlap_an_accepted_one(annotation, window):
    annotation.accept_window(HERE, np.ones(HERE.shape, bool))
    message = f"the window {window} overlaps 0:2,0:3,0:4, which is accepted; reopen that one"
    with pytest.raises(ValueError, match=message):
        annotation.accept_window(window, np.ones(window.shape, bool))
    assert list(annotation.accepted_windows) == [HERE]


@pytest.mark.parametrize(
    "window", [Roi((0, 0, 0), (5, 1, 1)), Roi((0, -1, 0), (1, 2, 1)), Roi((1, 1, 1), (1, 0, 1))]
)
def test_windows_outside_the_volume(annotation, window):
    message = f"the window {window} is empty or not inside the volume, 0:4,0:5,0:6"
    with pytest.raises(ValueError, match=message):
        annotation.stroke_labels(window)
    with pytest.raises(ValueError, match=message):
        annotation.accept_window(window, np.ones(window.shape, bool))


def test_labels_of_another_shape_or_type(annotation):
    for labels in [np.ones((2, 3, 5), bool), np.ones(HERE.shape, np.uint8)]:
        given = f"{labels.dtype} of shape .{str(labels.shape)[1:-1]}"
        with pytest.raises(ValueError, match=rf"0:4 are bool of shape \(2, 3, 4\), not {given}"):
            annotation.accept_window(HERE, labels)
    assert not (annotation.folder / "accepted").exists()


def test_labels_of_a_window_that_is_not_accepted(annotation):
    for method in (annotation.read_labels, annotation.reopen_window):
        with pytest.raises(ValueError, match="the window 0:2,0:3,0:4 is not accepted; accept it"):
            method(HERE)


def test_predictions(annotation):
    assert annotation.read_prediction(HERE) is None
    with pytest.raises(ValueError, match="there is no prediction of the window 0:2,0:3,0:4"):
        annotation.discard_prediction(HERE)
    annotation.store_prediction(HERE, prediction_of(HERE))
    overlapping = Roi((1, 1, 1), (1, 2, 3))
    annotation.store_prediction(overlapping, prediction_of(overlapping))
    annotation.store_prediction(HERE, PriorPrediction(np.zeros(HERE.shape, np.uint8), {}))
    assert predicted(annotation, HERE) == (np.zeros(HERE.shape).tolist(), {})
    assert predicted(annotation, overlapping)[1]["network"] == "runs/mito"
    for wrong in (np.zeros(HERE.shape), np.zeros((1, 1, 1), np.uint8)):
        with pytest.raises(
            ValueError, match="a prediction of the window 0:2,0:3,0:4 is uint8 of shape"
        ):
            annotation.store_prediction(HERE, PriorPrediction(wrong, {}))
    file = annotation.folder / "predictions/0-2_0-3_0-4.npz"
    (annotation.folder / "predictions/1-2_1-3_1-4.npz").replace(file)
    with pytest.raises(OSError, match="is damaged; predict the window 0:2,0:3,0:4 again"):
        annotation.read_prediction(HERE)
    file.write_bytes(b"PK")
    with pytest.raises(OSError, match="is damaged; predict the window 0:2,0:3,0:4 again"):
        annotation.read_prediction(HERE)
    file.unlink()
    with pytest.raises(FileNotFoundError, match="is missing; predict the window 0:2,0:3,0:4 again"):
        annotation.read_prediction(HERE)
    annotation.discard_prediction(HERE)
    assert not annotation.has_prediction(HERE)
    assert annotation.read_prediction(HERE) is None


def test_the_initial_model_is_stored_with_the_labels(annotation, caplog):
    by = {"network": "runs/mito", "weights": "ab12"}
    annotation.accept_window(HERE, np.ones(HERE.shape, bool), by)
    annotation.accept_window(ADJACENT, np.ones(ADJACENT.shape, bool))
    annotation.store_prediction(
        ADJACENT, prediction_of(ADJACENT)
    )  # later: the labels are of strokes alone
    assert annotation.read_initial_model(HERE) == by
    assert annotation.read_initial_model(ADJACENT) is None
    assert not caplog.records
    with pytest.raises(ValueError, match=r"the window 2:4,3:5,4:6 is not accepted"):
        annotation.read_initial_model(Roi((2, 3, 4), (2, 2, 2)))


def test_edits_outside_the_volume(annotation):
    annotation.add_edit(dot(0, -1, 3, radius=1))
    assert annotation.stroke_labels(WHOLE).sum() == 3
    with pytest.raises(
        ValueError, match=r"an edit at 0:1,-2:-1,3:4 is outside the volume, 0:4,0:5"
    ):
        annotation.add_edit(dot(0, -2, 3))
    assert len(annotation.edits) == 1


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"draw": ', r"Expecting value"),
        ("", r"Expecting value"),
        ("\udc80", r"'utf-8' codec"),
        ('"redo"', "'redo' is no possible event here"),
        ('"jump"', "'jump' is no possible event here"),
        ('{"draw": {}}', "keys of an edit"),
        ('{"draw": {}, "undo": 1}', "{'draw': {}, 'undo': 1} is no possible event here"),
        ('{"accept": "0:9,:,:"}', "the ROI 0:9,:,: leaves the volume"),
        ('{"accept": 7}', "{'accept': 7} is no possible event here"),
        ('{"reopen": "0:1,0:1,0:1"}', "the window 0:1,0:1,0:1 is not accepted"),
        ("[]", r"\[\] is no possible event here"),
        ('{"accept": "0:1e9,:,:"}', "'0:1e9,:,:' is no ROI"),
        (f'{{"prediction": "0:{"9" * 400},:,:"}}', "'0:999.* is no ROI"),
        (f'{{"discard": ":,:,{" " * 50_000}"}}', ".* is no ROI"),
        (f'{{"{"x" * 5000}": 1}}', ".*is no possible event here"),
        (DRAWN.replace('"radius": 1', '"radius": NaN'), "radius of a stroke"),
        (DRAWN.replace('"radius": 1', '"radius": 1e300'), "radius of a stroke"),
        (DRAWN.replace('"radius": 1', '"radius": -1'), "radius of a stroke"),
        (DRAWN.replace('"kind": 1', '"kind": 3'), "label of a stroke"),
        (DRAWN.replace('"kind": 1', f'"kind": {"9" * 400}'), "label of a stroke"),
        (DRAWN.replace("[0, 0, 0]", "[0, 0, NaN]"), "path of a stroke"),
        (DRAWN.replace("[0, 0, 0]", "[0, 0, 1e300]"), "path of a stroke"),
        (DRAWN.replace("[0, 0, 0]", f"[0, 0, {'9' * 400}]"), "path of a stroke"),
        (DRAWN.replace("[0, 0, 0]", "[0, 0, 1000001]"), "path of a stroke"),
    ],
)
def test_damaged_logs(tmp_path, line, message):
    path = tmp_path / "mito/log.jsonl"
    with AnnotationSession.open(tmp_path, "raw", SHAPE) as session:
        session.open_structure("mito").add_edit(dot(0, 0, 0))
    text = f'{path.read_text()}{line}\n"undo"\n'
    path.write_text(text, errors="surrogateescape")
    with (
        AnnotationSession.open(tmp_path, "raw", SHAPE) as session,
        pytest.raises(ValueError, match=f"{path}, line 2(:| is damaged:) {message}") as caught,
    ):
        session.open_structure("mito")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert path.read_text(errors="surrogateescape") == text


def test_undo_of_nothing_in_a_log(tmp_path):
    (tmp_path / "log.jsonl").write_text('"undo"\n')
    with pytest.raises(ValueError, match="line 1: 'undo' is no possible event here"):
        opened(tmp_path)
