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

from asem.annotate.annotation import Annotation, Guess
from asem.annotate.session import Session
from asem.annotate.strokes import Stroke, Verdict
from asem.volume.roi import Roi

SHAPE = (4, 5, 6)
WHOLE = Roi.whole(SHAPE)
HERE, BESIDE = Roi((0, 0, 0), (2, 3, 4)), Roi((2, 0, 0), (2, 5, 4))
DRAWN = (
    '{"draw": {"mark": "stroke", "kind": 1, "axis": 0, "radius": 1, "square": false, '
    '"path": [[0, 0, 0]]}}'
)
# Draws stroke after stroke until it is killed, and says so after each.
DRAWING = """
import sys
from pathlib import Path
from asem.annotate.session import Session
from asem.annotate.strokes import Stroke

annotation = Session.open(Path(sys.argv[1]), "raw", (4, 5, 6)).structure("mito")
for number in range(10**6):
    annotation.draw(Stroke(1, 0, number / 10**6, False, ((0, 0, 0),) * 50))
    print(number, flush=True)
"""


def dot(*at, kind=1, radius=0):
    return Stroke(kind, axis=0, radius=radius, square=True, path=(at,))


def verdict(kind, window):
    return Verdict.of(kind, np.ones(window.shape, bool), window.offset)


def state(annotation):
    """All that can be seen of an annotation."""
    return (
        [mark.to_json() for mark in annotation.marks],
        annotation.can_undo,
        annotation.can_redo,
        annotation.painted(WHOLE).tolist(),
        [(window, annotation.labels(window).tolist()) for window in annotation.accepted],
        [guessed(annotation, window) for window in (HERE, BESIDE)],
    )


def guessed(annotation, window):
    found = annotation.guess(window)
    return found and (found.probability.tolist(), found.by)


def state_on_disk(annotation):
    """Close it and return what the next one to open it sees."""
    annotation.close()
    after = opened(annotation.folder)
    try:
        return state(after)
    finally:
        after.close()


def opened(folder):
    """Open an annotation without its session."""
    return Annotation(folder, WHOLE, StringIO())


@pytest.fixture
def session(tmp_path):
    with Session.open(tmp_path / "session", "raw", SHAPE) as session:
        yield session


@pytest.fixture
def annotation(session):
    return session.structure("mito")


@contextmanager
def unsynced():
    """An annotation in a folder of its own, of which fsync is left out to be quick."""
    with TemporaryDirectory() as folder, patch("os.fsync"):
        annotation = opened(Path(folder))
        yield annotation
        annotation.close()


def test_later_marks_lie_over_earlier_ones_and_undo_brings_them_back(annotation):
    """Foreground, background over its right half, erased in the middle of both::

    1 1 1 1      1 1 2 2      1 0 0 2
    """
    row = Roi((1, 2, 0), (1, 1, 4))
    annotation.draw(Stroke(1, 0, 0, False, ((1, 2, 0), (1, 2, 3))))
    annotation.draw(verdict(2, Roi((1, 2, 2), (1, 1, 2))))
    annotation.draw(Stroke(0, 0, 0, False, ((1, 2, 1), (1, 2, 2))))
    assert annotation.painted(row).tolist() == [[[1, 0, 0, 2]]]
    assert annotation.painted(row).dtype == np.uint8
    erasing, verdict_ = annotation.undo(), annotation.marks[1]
    assert erasing.kind == 0
    assert annotation.painted(row).tolist() == [[[1, 1, 2, 2]]]
    assert annotation.undo() is verdict_
    assert annotation.painted(row).tolist() == [[[1, 1, 1, 1]]]
    assert annotation.redo() is verdict_
    assert annotation.painted(row).tolist() == [[[1, 1, 2, 2]]]


def test_what_was_undone_is_gone_after_drawing(annotation):
    first, second, third = dot(0, 0, 0), dot(0, 0, 1), dot(0, 0, 2)
    annotation.draw(first)
    annotation.draw(second)
    annotation.undo()
    assert annotation.can_redo
    annotation.draw(third)
    assert not annotation.can_redo
    assert annotation.redo() is None
    assert annotation.marks == (first, third)


def test_nothing_to_undo_or_redo(annotation):
    assert annotation.undo() is None
    assert annotation.redo() is None
    assert not annotation.can_undo
    annotation.draw(dot(0, 0, 0))
    assert annotation.redo() is None
    assert (annotation.folder / "log.jsonl").read_text().count("\n") == 1


corners = st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 5))
dots = st.builds(dot, *map(st.integers, (0, 0, 0), (3, 4, 5)), kind=st.integers(0, 2))
boxes = st.builds(lambda a, b: Roi.between(map(min, a, b), np.maximum(a, b) + 1), corners, corners)
verdicts = st.builds(verdict, st.integers(1, 2), boxes)


@settings(max_examples=60)
@given(st.lists(st.sampled_from(["undo", "undo", "redo"]) | dots | verdicts, max_size=25), boxes)
def test_any_sequence_is_as_with_copies_of_the_whole(steps, window):
    """The model keeps the whole volume after each mark, and the volumes that were undone."""
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
                annotation.draw(step)
                volume = volumes[-1].copy()
                volume[step.box.slices] = step.kind  # dots and boxes fill their boxes
                volumes.append(volume)
                undone = []
            assert annotation.can_undo == (len(volumes) > 1)
            assert annotation.can_redo == bool(undone)
            assert np.array_equal(annotation.painted(WHOLE), volumes[-1])
            assert np.array_equal(annotation.painted(window), volumes[-1][window.slices])
        assert state(annotation) == state_on_disk(annotation)


def guess_of(window):
    values = np.random.default_rng(2).integers(0, 256, window.shape, np.uint8)
    return Guess(values, {"network": "runs/mito", "weights": "ab12"})


def fill(annotation):
    """Let everything happen once; return the state after 0, 1, ... events."""
    labels = np.random.default_rng(1).random((2, *HERE.shape)) < 0.5
    happened = [
        lambda: annotation.draw(dot(0, 0, 0)),
        lambda: annotation.accept(HERE, labels[0]),
        lambda: annotation.draw(verdict(2, BESIDE)),
        lambda: annotation.draw(dot(3, 4, 5, radius=2)),
        annotation.undo,
        annotation.undo,
        annotation.redo,
        lambda: annotation.accept(BESIDE, np.ones(BESIDE.shape, bool)),
        lambda: annotation.keep_guess(HERE, guess_of(HERE)),
        lambda: annotation.keep_guess(BESIDE, guess_of(BESIDE)),
        lambda: annotation.forget_guess(HERE),
        lambda: annotation.reopen(HERE),
        lambda: annotation.draw(dot(1, 1, 1, kind=0)),
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
            begun, expected = opened(annotation.folder), states[log[:size].count(b"\n")]
            assert state(begun) == expected
            begun.draw(dot(0, 1, 0))
            begun.undo()
            assert state_on_disk(begun) == (*expected[:2], True, *expected[3:])


def test_a_log_is_only_added_to_and_synced(annotation, monkeypatch):
    path, synced, fsync = annotation.folder / "log.jsonl", [], os.fsync

    def noted(file):
        fsync(file)
        synced.append((os.fstat(file).st_ino, path.read_bytes()))

    monkeypatch.setattr(os, "fsync", noted)
    before = b""
    for event in [lambda: annotation.draw(dot(0, 0, 0)), annotation.undo, annotation.redo]:
        event()
        after = path.read_bytes()
        assert after.startswith(before)
        assert after.count(b"\n") == before.count(b"\n") + 1
        assert synced[-1] == (path.stat().st_ino, after)
        before = after


def test_a_killed_process_loses_at_most_the_stroke_it_was_drawing(tmp_path):
    command = [sys.executable, "-c", DRAWING, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as drawing:
        said = [drawing.stdout.readline() for _ in range(20)]
        with pytest.raises(BlockingIOError, match=f"the annotation session {tmp_path} is open els"):
            Session.open(tmp_path, "raw", SHAPE)
        drawing.send_signal(signal.SIGKILL)
        said += drawing.stdout.readlines()
    assert drawing.returncode == -signal.SIGKILL
    with Session.open(tmp_path, "raw", SHAPE) as session:
        annotation = session.structure("mito")
        assert len(annotation.marks) - len(said) in (0, 1)
        assert [mark.radius * 10**6 for mark in annotation.marks] == pytest.approx(
            range(len(annotation.marks))
        )
        annotation.draw(dot(0, 0, 0))


def test_a_full_disk_leaves_the_state_as_it_was(annotation):
    annotation.draw(dot(0, 0, 0))
    before, log = state(annotation), annotation.folder / "log.jsonl"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            annotation.draw(dot(0, 0, 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert log.read_bytes()[-1:] != b"\n"
    assert state(annotation) == before
    annotation.draw(dot(0, 0, 2))
    assert state(annotation) == state_on_disk(annotation)


def test_accepted_windows(annotation, rng):
    first, second = rng.random(HERE.shape) < 0.5, rng.random(BESIDE.shape) < 0.5
    annotation.accept(HERE, first)
    annotation.accept(BESIDE, second)
    annotation.draw(dot(0, 0, 0))
    annotation.undo()
    annotation.close()
    after = opened(annotation.folder)
    assert list(after.accepted) == [HERE, BESIDE]
    assert np.array_equal(after.labels(HERE), first)
    assert np.array_equal(after.labels(BESIDE), second)
    assert after.labels(HERE).dtype == np.bool_
    assert after.accepted[HERE] == after.folder / "accepted/0-2_0-3_0-4.npz"
    after.accept(HERE, ~first)
    assert np.array_equal(after.labels(HERE), ~first)
    after.reopen(HERE)
    assert list(after.accepted) == [BESIDE]
    after.accept(Roi((1, 2, 3), (1, 2, 2)), np.zeros((1, 2, 2), bool))
    assert [window for window, _ in state_on_disk(after)[-2]] == [
        BESIDE,
        Roi((1, 2, 3), (1, 2, 2)),
    ]


def test_accepted_cannot_be_changed_from_outside(annotation):
    annotation.accepted[HERE] = Path("nowhere")
    assert not annotation.accepted


@pytest.mark.parametrize("fails", ["numpy.savez_compressed", "os.fsync", "pathlib.Path.replace"])
def test_old_labels_stay_until_new_ones_are_on_disk(annotation, fails):
    annotation.accept(HERE, np.ones(HERE.shape, bool))
    before = state(annotation)

    def fail(file, *_, **__):
        if fails == "numpy.savez_compressed":
            file.write(b"half of")
        raise OSError("no space left")

    with patch(fails, fail):
        for window in (HERE, BESIDE):
            with pytest.raises(OSError, match="no space left"):
                annotation.accept(window, np.zeros(window.shape, bool))
    assert state(annotation) == before
    assert state_on_disk(annotation) == before


def test_labels_are_on_disk_before_the_log_says_so(annotation):
    with (
        patch("asem.blocks.log.AppendedLog.append", side_effect=OSError("killed")),
        pytest.raises(OSError, match="killed"),
    ):
        annotation.accept(HERE, np.ones(HERE.shape, bool))
    assert [path.name for path in annotation.folder.glob("accepted/*")] == ["0-2_0-3_0-4.npz"]
    assert not annotation.accepted


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
    annotation.accept(HERE, np.ones(HERE.shape, bool))
    message = f"the window {window} overlaps 0:2,0:3,0:4, which is accepted; reopen that one"
    with pytest.raises(ValueError, match=message):
        annotation.accept(window, np.ones(window.shape, bool))
    assert list(annotation.accepted) == [HERE]


@pytest.mark.parametrize(
    "window", [Roi((0, 0, 0), (5, 1, 1)), Roi((0, -1, 0), (1, 2, 1)), Roi((1, 1, 1), (1, 0, 1))]
)
def test_windows_outside_the_volume(annotation, window):
    message = f"the window {window} is empty or leaves the volume, 0:4,0:5,0:6"
    with pytest.raises(ValueError, match=message):
        annotation.painted(window)
    with pytest.raises(ValueError, match=message):
        annotation.accept(window, np.ones(window.shape, bool))


def test_labels_of_another_shape_or_type(annotation):
    for labels in [np.ones((2, 3, 5), bool), np.ones(HERE.shape, np.uint8)]:
        given = f"{labels.dtype} of shape .{str(labels.shape)[1:-1]}"
        with pytest.raises(ValueError, match=rf"0:4 are bool of shape \(2, 3, 4\), not {given}"):
            annotation.accept(HERE, labels)
    assert not (annotation.folder / "accepted").exists()


def test_labels_of_a_window_that_is_not_accepted(annotation):
    for method in (annotation.labels, annotation.reopen):
        with pytest.raises(ValueError, match="the window 0:2,0:3,0:4 is not accepted; accept it"):
            method(HERE)


@pytest.mark.parametrize("damage", [b"", b"PK\3\4 no", b"\0" * 100])
def test_damaged_labels(annotation, damage):
    annotation.accept(HERE, np.ones(HERE.shape, bool))
    annotation.accepted[HERE].write_bytes(damage)
    with pytest.raises(OSError, match=r"0-4\.npz is damaged; accept the window 0:2,0:3,0:4 again"):
        annotation.labels(HERE)
    annotation.accepted[HERE].unlink()
    with pytest.raises(FileNotFoundError, match=r"0-4\.npz"):
        annotation.labels(HERE)


def test_guesses(annotation):
    assert annotation.guess(HERE) is None
    with pytest.raises(ValueError, match="no network begins the window 0:2,0:3,0:4"):
        annotation.forget_guess(HERE)
    annotation.keep_guess(HERE, guess_of(HERE))
    overlapping = Roi((1, 1, 1), (1, 2, 3))
    annotation.keep_guess(overlapping, guess_of(overlapping))
    annotation.keep_guess(HERE, Guess(np.zeros(HERE.shape, np.uint8), {}))
    assert guessed(annotation, HERE) == (np.zeros(HERE.shape).tolist(), {})
    assert guessed(annotation, overlapping)[1]["network"] == "runs/mito"
    for wrong in (np.zeros(HERE.shape), np.zeros((1, 1, 1), np.uint8)):
        with pytest.raises(ValueError, match="a guess of the window 0:2,0:3,0:4 is uint8 of shape"):
            annotation.keep_guess(HERE, Guess(wrong, {}))
    file = annotation.folder / "guesses/0-2_0-3_0-4.npz"
    (annotation.folder / "guesses/1-2_1-3_1-4.npz").replace(file)
    with pytest.raises(OSError, match="is damaged; predict the window 0:2,0:3,0:4 again"):
        annotation.guess(HERE)
    file.write_bytes(b"PK")
    with pytest.raises(OSError, match="is damaged; predict the window 0:2,0:3,0:4 again"):
        annotation.guess(HERE)
    file.unlink()
    with pytest.raises(FileNotFoundError, match="is gone; predict the window 0:2,0:3,0:4 again"):
        annotation.guess(HERE)
    annotation.forget_guess(HERE)
    assert not annotation.has_guess(HERE)
    assert annotation.guess(HERE) is None


def test_who_began_a_window_is_kept_with_its_labels(annotation, caplog):
    by = {"network": "runs/mito", "weights": "ab12"}
    annotation.accept(HERE, np.ones(HERE.shape, bool), by)
    annotation.accept(BESIDE, np.ones(BESIDE.shape, bool))
    annotation.keep_guess(BESIDE, guess_of(BESIDE))  # later: its labels are of strokes alone
    assert annotation.begun_by(HERE) == by
    assert annotation.begun_by(BESIDE) is None
    np.savez(annotation.accepted[HERE], foreground=np.ones(HERE.shape, bool))  # an older file
    assert annotation.labels(HERE).all()
    assert annotation.begun_by(HERE) is None
    assert not caplog.records
    with pytest.raises(ValueError, match=r"the window 2:4,3:5,4:6 is not accepted"):
        annotation.begun_by(Roi((2, 3, 4), (2, 2, 2)))


@pytest.mark.parametrize("damage", ["gone", "cut", "text", "list"])
def test_a_file_that_lost_who_began_its_window_is_named(annotation, caplog, damage):
    annotation.accept(HERE, np.ones(HERE.shape, bool), {"network": "runs/mito"})
    file = annotation.accepted[HERE]
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-30])
    else:
        by = {"text": "{", "list": "[1]"}[damage]
        np.savez(file, foreground=np.ones(HERE.shape, bool), begun_by=np.array(by))
    assert annotation.begun_by(HERE) is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert str(file) in record.getMessage()
    assert "accept the window 0:2,0:3,0:4 again" in record.getMessage()


def test_marks_outside_the_volume(annotation):
    annotation.draw(dot(0, -1, 3, radius=1))
    assert annotation.painted(WHOLE).sum() == 3
    with pytest.raises(ValueError, match=r"a mark at 0:1,-2:-1,3:4 is outside the volume, 0:4,0:5"):
        annotation.draw(dot(0, -2, 3))
    assert len(annotation.marks) == 1


def test_a_volume_larger_than_any_memory(tmp_path):
    edge = 900_000
    with Session.open(tmp_path, {"uuid": 1}, (edge, edge, edge)) as session:
        annotation = session.structure("mito")
        annotation.draw(Stroke(1, 1, 2, False, ((9, 9, 9), (edge, 9, edge))))
        window = Roi((500_000, 9, 500_000), (3, 1, 3))
        assert (annotation.painted(window) == 1).all()
        annotation.accept(window, annotation.painted(window) == 1)
        assert annotation.labels(window).all()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"draw": ', r"Expecting value"),
        ("", r"Expecting value"),
        ("\udc80", r"'utf-8' codec"),
        ('"redo"', "'redo' cannot have happened here"),
        ('"jump"', "'jump' cannot have happened here"),
        ('{"draw": {}}', "keys of a mark"),
        ('{"draw": {}, "undo": 1}', "{'draw': {}, 'undo': 1} cannot have happened here"),
        ('{"accept": "0:9,:,:"}', "the Roi 0:9,:,: leaves the volume"),
        ('{"accept": 7}', "{'accept': 7} cannot have happened here"),
        ('{"reopen": "0:1,0:1,0:1"}', "the window 0:1,0:1,0:1 is not accepted"),
        ("[]", r"\[\] cannot have happened here"),
        ('{"accept": "0:1e9,:,:"}', "'0:1e9,:,:' is no Roi"),
        (f'{{"guess": "0:{"9" * 400},:,:"}}', "'0:999.* is no Roi"),
        (f'{{"forget": ":,:,{" " * 50_000}"}}', ".* is no Roi"),
        (f'{{"{"x" * 5000}": 1}}', ".*cannot have happened here"),
        (DRAWN.replace('"radius": 1', '"radius": NaN'), "radius of a stroke"),
        (DRAWN.replace('"radius": 1', '"radius": 1e300'), "radius of a stroke"),
        (DRAWN.replace('"radius": 1', '"radius": -1'), "radius of a stroke"),
        (DRAWN.replace('"kind": 1', '"kind": 3'), "kind of a stroke"),
        (DRAWN.replace('"kind": 1', f'"kind": {"9" * 400}'), "kind of a stroke"),
        (DRAWN.replace("[0, 0, 0]", "[0, 0, NaN]"), "path of a stroke"),
        (DRAWN.replace("[0, 0, 0]", "[0, 0, 1e300]"), "path of a stroke"),
        (DRAWN.replace("[0, 0, 0]", f"[0, 0, {'9' * 400}]"), "path of a stroke"),
        (DRAWN.replace("[0, 0, 0]", "[0, 0, 1000001]"), "path of a stroke"),
    ],
)
def test_damaged_logs(tmp_path, line, message):
    path = tmp_path / "mito/log.jsonl"
    with Session.open(tmp_path, "raw", SHAPE) as session:
        session.structure("mito").draw(dot(0, 0, 0))
    text = f'{path.read_text()}{line}\n"undo"\n'
    path.write_text(text, errors="surrogateescape")
    with (
        Session.open(tmp_path, "raw", SHAPE) as session,
        pytest.raises(ValueError, match=f"{path}, line 2(:| is damaged:) {message}") as caught,
    ):
        session.structure("mito")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert path.read_text(errors="surrogateescape") == text


def test_undo_of_nothing_in_a_log(tmp_path):
    (tmp_path / "log.jsonl").write_text('"undo"\n')
    with pytest.raises(ValueError, match="line 1: 'undo' cannot have happened here"):
        opened(tmp_path)


def test_structures(tmp_path):
    with Session.open(tmp_path / "a/b", "raw", SHAPE) as session:
        assert session.structures == ()
        for name in ("nuc-1", "mito", "_ER.2"):
            session.structure(name)
        session.structure("mito").draw(dot(0, 0, 0))
        assert session.structure("mito") is session.structure("mito")
        assert session.structures == ("_ER.2", "mito", "nuc-1")
    with Session.open(tmp_path / "a/b", "raw", SHAPE) as session:
        assert session.structures == ("_ER.2", "mito", "nuc-1")
        assert session.structure("mito").marks == (dot(0, 0, 0),)
        assert session.structure("nuc-1").marks == ()


@pytest.mark.parametrize("name", ["", ".", "..", ".asem", "a/b", "a b", "a\n", "é"])
def test_names_of_structures(session, name):
    with pytest.raises(
        ValueError, match="is no name of a structure; use letters, digits, _, - and"
    ):
        session.structure(name)
    assert [path.name for path in session.folder.iterdir()] == [".asem"]


@pytest.mark.parametrize(
    ("raw", "shape", "message"),
    [
        (
            "other",
            SHAPE,
            "raw: {'id': 1, 'at': \\[2\\]} then, other now; shape: \\[4, 5, 6\\] then",
        ),
        ({"id": 1, "at": (2,)}, (4, 5, 7), r"shape: \[4, 5, 6\] then, \[4, 5, 7\] now"),
    ],
)
def test_a_session_of_another_raw(tmp_path, raw, shape, message):
    ours = {"id": 1, "at": (2,)}
    Session.open(tmp_path, ours, SHAPE).close()
    with pytest.raises(ValueError, match=f"{tmp_path} is a session of another raw .*{message}"):
        Session.open(tmp_path, raw, shape)
    Session.open(tmp_path, ours, SHAPE).close()


@pytest.mark.parametrize("text", ["", "{", "[1]", "7"])
def test_a_damaged_description(tmp_path, text):
    Session.open(tmp_path, "raw", SHAPE).close()
    (tmp_path / ".asem/session.json").write_text(text)
    with pytest.raises(ValueError, match=r"session.json does not say of which raw the session is"):
        Session.open(tmp_path, "raw", SHAPE)


def test_a_session_that_is_open(session):
    message = f"{session.folder} is open elsewhere; close it there, or give another folder"
    with pytest.raises(BlockingIOError, match=message):
        Session.open(session.folder, "raw", SHAPE)


def test_a_bad_shape_creates_nothing(tmp_path):
    with pytest.raises(ValueError, match="negative shape"):
        Session.open(tmp_path / "session", "raw", (1, -1, 1))
    assert not (tmp_path / "session").exists()


def test_a_closed_session_changes_nothing(tmp_path):
    with Session.open(tmp_path, "raw", SHAPE) as session:
        annotation = session.structure("mito")
        annotation.draw(dot(0, 0, 0))
    with pytest.raises(ValueError, match=r"the session .* is closed; open it again"):
        session.structure("er")
    for change in (annotation.undo, lambda: annotation.draw(dot(0, 0, 1))):
        with pytest.raises(ValueError, match="closed"):
            change()
    with pytest.raises(ValueError, match="mito is closed; open its session again"):
        annotation.accept(HERE, np.ones(HERE.shape, bool))
    assert annotation.marks == (dot(0, 0, 0),)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        ".asem",
        "lock",
        "log.jsonl",
        "mito",
        "session.json",
    ]


@pytest.mark.parametrize(
    "labels", [np.ones((1, 1, 1), bool), np.ones(HERE.shape, np.uint8), np.ones(3, bool)]
)
def test_labels_of_another_shape_or_dtype(annotation, labels):
    annotation.accept(HERE, np.ones(HERE.shape, bool))
    np.savez(annotation.accepted[HERE], foreground=labels)
    with pytest.raises(OSError, match=r"0-4\.npz is damaged; accept the window .* not bool of 2 x"):
        annotation.labels(HERE)
