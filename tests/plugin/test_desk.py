"""The desk without a screen: what is posted to its thread is called by the test."""

import queue
import time
from functools import partial
from threading import Event

import numpy as np
import pytest

from asem.annotate.strokes import Stroke
from asem.plugin import desk as desks
from asem.plugin import predicting
from asem.plugin.cutting import Boundary
from asem.plugin.desk import Desk
from asem.volume.formats import open_labels
from asem.volume.volume import Blank
from asem.workflows.annotation import open_session, windows_of
from asem.workflows.describe import describe_volume

FOREGROUND = Stroke(1, 0, 2, False, ((24, 4, 43), (24, 4, 50)))
BACKGROUND = Stroke(2, 0, 2, False, ((24, 24, 4), (24, 24, 50)))


class Damaged(Blank):
    """An array on a broken disk."""

    def __getitem__(self, index):
        raise ValueError("chunk 0 is damaged")


class Screen:
    """Its thread is that of the test."""

    def __init__(self):
        self.posted, self.changes = queue.Queue(), []

    def settle(self, desk):
        end = time.monotonic() + 120
        while desk.busy or desk.predicting or not self.posted.empty():
            assert time.monotonic() < end, desk.status
            try:
                self.posted.get(timeout=0.05)()
            except queue.Empty:
                continue


@pytest.fixture
def screen_thread():
    return Screen()


@pytest.fixture
def desk(raw, screen_thread, monkeypatch):
    """Two windows side by side, along x; the first one is prepared."""
    monkeypatch.setattr(desks, "windows_of", partial(windows_of, edge=80))
    desk = Desk(*open_session(raw), "mito", screen_thread.posted.put)
    assert [window.shape for window in desk.windows] == [(48, 80, 56)] * 2
    screen_thread.settle(desk)
    yield desk
    desk.close()


@pytest.fixture
def drawn(desk, screen_thread):
    """Both kinds are drawn, and cut."""
    desk.draw(FOREGROUND)
    desk.draw(BACKGROUND)
    screen_thread.settle(desk)
    assert desk.status.startswith("cut in ")
    return desk


def test_it_says_what_is_missing(desk):
    assert desk.status == "draw foreground and background"
    desk.draw(FOREGROUND)
    assert desk.status == "draw background too"
    desk.draw(Stroke(0, 0, 4, False, FOREGROUND.path))
    assert desk.status == "draw foreground and background"


def test_only_the_newest_cut_is_shown(drawn, screen_thread):
    shown = []
    drawn.changed = lambda what: what == "cut" and shown.append(drawn.status)
    for column in range(5):
        drawn.draw(Stroke(1, 0, 2, False, ((30, 10, 10 + column),)))
    screen_thread.settle(drawn)
    assert len(shown) == 1
    assert drawn.foreground[30, 10, 14]


def test_without_live_cuts_only_what_is_asked_for_is_cut(drawn, screen_thread):
    drawn.live, before = False, drawn.cut
    drawn.draw(Stroke(1, 0, 2, False, ((30, 10, 10),)))
    screen_thread.settle(drawn)
    assert drawn.cut is before
    drawn.accept()
    assert drawn.status == "the cut is older than the strokes: Cut now (C), then accept it"
    drawn.recut()
    screen_thread.settle(drawn)
    assert drawn.foreground[30, 10, 10]


def test_smoothing_changes_the_cut_and_prepares_nothing_again(drawn, screen_thread):
    before = drawn.foreground.copy()
    drawn.boundary = Boundary(smoothing_nm=60)
    drawn.recut()
    assert drawn.status == "cutting..."
    screen_thread.settle(drawn)
    assert not np.array_equal(drawn.foreground, before)
    for threshold, grows in ((0.2, True), (0.8, False)):
        drawn.boundary = Boundary(threshold=threshold)
        drawn.recut()
        screen_thread.settle(drawn)
        assert (drawn.foreground.sum() > before.sum()) == grows


def test_a_network_begins_and_strokes_correct_it(desk, run, raw, screen_thread):
    desk.predict(run)
    screen_thread.settle(desk)
    assert desk.status.startswith("cut in ")
    assert desk.progress.endswith("a network began this one")
    guessed = desk.cut
    desk.draw(FOREGROUND)
    screen_thread.settle(desk)
    assert desk.cut is not guessed
    assert desk.foreground[24, 4, 45]
    desk.accept()
    assert desk.status == "window 1 accepted"
    accepted = desk.foreground.copy()
    desk.go_to(1)
    screen_thread.settle(desk)
    assert desk.status == "draw foreground and background"
    desk.go_to(0)
    screen_thread.settle(desk)
    assert desk.status.startswith("accepted; draw")
    assert np.array_equal(desk.foreground, accepted)
    desk.recut()  # by the guess, which is there again
    screen_thread.settle(desk)
    assert np.array_equal(desk.foreground, accepted)
    desk.save(raw.parent / "labels/begun").result()
    screen_thread.settle(desk)
    (by,) = describe_volume(raw.parent / "labels/begun")["made_by"]["facts"]["begun_by"]
    assert by["network"] == str(run.resolve())


def test_a_guess_is_there_after_a_crash_until_strokes_alone_decide(raw, run, screen_thread):
    desk = Desk(*open_session(raw), "mito", screen_thread.posted.put)
    desk.predict(run)
    screen_thread.settle(desk)
    guess, found = desk.guess.probability.copy(), desk.foreground.copy()
    desk.close()
    again = Desk(*open_session(raw), "mito", screen_thread.posted.put)
    screen_thread.settle(again)
    assert np.array_equal(again.guess.probability, guess)
    assert np.array_equal(again.foreground, found)
    again.choose("er")
    assert again.guess is None
    again.choose("mito")
    again.forget_guess()
    screen_thread.settle(again)
    assert again.status == "draw foreground and background"
    assert not again.foreground.any()
    again.forget_guess()
    assert again.status == "strokes alone decide on this window already"
    again.close()


def test_one_draws_and_turns_pages_while_a_window_is_predicted(drawn, run, screen_thread):
    drawn.predict(run)
    drawn.draw(Stroke(1, 0, 2, False, ((30, 10, 10),)))
    assert drawn.predicting
    assert "predicting, " in drawn.progress
    drawn.go_to(1)
    screen_thread.settle(drawn)
    assert drawn.guess is None
    assert "predicting" not in drawn.progress
    drawn.go_to(0)
    assert drawn.guess is not None
    screen_thread.settle(drawn)
    assert drawn.foreground[30, 10, 10]


def test_closing_ends_a_prediction(drawn, run, monkeypatch):
    """It never comes to an end by itself."""
    begun, ended = Event(), Event()

    def endless(*given):
        begun.set()
        try:
            while True:
                given[-1]("predict", 0, 1)
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr(predicting, "guess_window", endless)
    drawn.predict(run)
    assert begun.wait(10)
    drawn.close()
    assert ended.is_set()


def test_damaged_guesses_are_told_and_strokes_are_there(drawn, run, screen_thread):
    drawn.predict(run)
    screen_thread.settle(drawn)
    (file,) = (drawn.annotation.folder / "guesses").iterdir()
    file.write_bytes(b"")
    drawn.go_to(1)
    screen_thread.settle(drawn)
    drawn.go_to(0)
    assert "is damaged; predict the window" in drawn.status
    screen_thread.settle(drawn)
    assert drawn.strokes.any()
    assert drawn.can_forget
    drawn.forget_guess()
    screen_thread.settle(drawn)
    assert drawn.status.startswith("cut in ")
    assert not drawn.can_forget


def test_labels_tell_who_began_them_not_who_came_later(desk, run, raw, tmp_path, screen_thread):
    desk.predict(run)
    screen_thread.settle(desk)
    desk.accept()
    desk.boundary = Boundary(threshold=0.9)
    desk.forget_guess()
    screen_thread.settle(desk)
    assert desk.cut is None
    assert np.array_equal(desk.foreground, desk.annotation.labels(desk.window))  # as it was kept
    desk.save(raw.parent / "labels/begun").result()
    (by,) = describe_volume(raw.parent / "labels/begun")["made_by"]["facts"]["begun_by"]
    assert by["network"] == str(run.resolve())


def test_a_prediction_is_stopped_or_dropped(drawn, run, monkeypatch, screen_thread):
    begun = Event()

    def endless(*given):
        begun.set()
        while True:
            given[-1]("predict", 0, 1)
            time.sleep(0.01)

    monkeypatch.setattr(predicting, "guess_window", endless)
    drawn.predict(run)
    assert begun.wait(10)
    assert drawn.can_forget
    drawn.forget_guess()
    assert drawn.status == "the prediction is stopped"
    assert not drawn.predicting
    drawn.predict(run)
    monkeypatch.undo()
    drawn.predict(run)
    assert drawn.status.endswith("the prediction before is dropped")
    screen_thread.settle(drawn)
    assert drawn.guess is not None


def test_an_accepted_window_can_become_all_background(drawn, screen_thread):
    drawn.accept()
    assert drawn.annotation.labels(drawn.window).any()
    drawn.draw(Stroke(2, 0, 4, False, FOREGROUND.path))  # over all that was drawn of foreground
    screen_thread.settle(drawn)
    drawn.accept()
    assert drawn.status == "window 1 accepted"
    assert not drawn.annotation.labels(drawn.window).any()


def test_without_a_network_strokes_alone_go_on(drawn, tmp_path, screen_thread):
    drawn.predict(tmp_path / "none")
    screen_thread.settle(drawn)
    assert drawn.status.startswith("no prediction: ")
    assert "none" in drawn.status
    assert drawn.foreground.any()
    assert drawn.guess is None
    drawn.recut()
    screen_thread.settle(drawn)
    assert drawn.status.startswith("cut in ")


def test_undo_and_redo_go_to_the_window_of_the_stroke(drawn, screen_thread):
    drawn.go_to(1)
    screen_thread.settle(drawn)
    assert not drawn.strokes.any()
    drawn.undo()
    assert drawn.number == 0
    screen_thread.settle(drawn)
    assert (drawn.strokes == 1).any()
    assert not (drawn.strokes == 2).any()
    drawn.redo()
    drawn.redo()
    assert drawn.status == "there is nothing to redo"


def test_windows_are_numbered_from_the_first_to_the_last(desk):
    desk.go_to(7)
    assert desk.number == 1
    desk.go_to(2)
    assert desk.status == "there is no other window on this side of window 2"
    desk.go_to(-1)
    assert desk.number == 0


def test_a_window_is_accepted_when_it_is_cut(drawn, screen_thread):
    drawn.draw(Stroke(1, 0, 2, False, ((30, 10, 10),)))
    drawn.accept()
    assert drawn.status == "still cutting: accept the window when its cut is there"
    screen_thread.settle(drawn)
    drawn.accept()
    assert drawn.status == "window 1 accepted"
    assert drawn.progress == "1 of 2 windows accepted, this one too"
    drawn.undo()
    screen_thread.settle(drawn)
    assert drawn.progress == "1 of 2 windows accepted, this one before it changed"
    drawn.go_to(1)
    screen_thread.settle(drawn)
    assert drawn.progress == "1 of 2 windows accepted"
    drawn.accept()
    assert drawn.status.startswith("nothing to accept: draw")
    drawn.draw(Stroke(2, 0, 2, False, ((30, 10, 70),)))
    drawn.accept()
    assert drawn.progress == "2 of 2 windows accepted, this one too"


def test_saving_tells_what_came_of_it(drawn, raw, screen_thread):
    path = raw.parent / "labels/mito"
    for status in ("not saved: no window of mito is accepted", "saved as cell.zarr/labels/mito"):
        drawn.save(path).exception()
        screen_thread.posted.get(timeout=60)()
        assert drawn.status.startswith(status)
        drawn.accept()
    labels = open_labels(path)
    assert np.array_equal(labels.read(labels.roi), drawn.foreground)


def test_each_structure_has_its_own_strokes(drawn, screen_thread):
    assert drawn.structures == ["ccp", "er", "golgi", "mito", "npc"]
    drawn.choose("vesicle")
    screen_thread.settle(drawn)
    assert not drawn.strokes.any()
    assert "vesicle" in drawn.structures
    drawn.choose("a/b")
    assert drawn.status.startswith("not opened: 'a/b' is no name of a structure")
    assert drawn.structure == "vesicle"
    drawn.choose("mito")
    assert drawn.annotation.marks == (FOREGROUND, BACKGROUND)


def test_a_stroke_that_cannot_be_kept_is_not_shown(drawn):
    before = drawn.strokes.copy()
    drawn.session.close()
    drawn.preview(Stroke(1, 0, 2, False, ((40, 40, 40),)))
    drawn.draw(Stroke(1, 0, 2, False, ((40, 40, 40),)))
    assert drawn.status.startswith("not kept: ")
    assert np.array_equal(drawn.strokes, before)
    drawn.undo()
    assert drawn.status.startswith("cannot undo: ")


def test_a_window_that_cannot_be_prepared_says_why(desk, screen_thread, monkeypatch):
    monkeypatch.setattr(
        "asem.plugin.cutting.prepare_window", lambda *_: (_ for _ in ()).throw(ValueError("grey"))
    )
    desk.go_to(1)
    screen_thread.settle(desk)
    assert desk.status == "no cut: grey"
    assert not desk.busy
    desk.draw(Stroke(1, 0, 2, False, ((30, 10, 70),)))
    desk.draw(Stroke(2, 0, 2, False, ((30, 30, 70),)))
    screen_thread.settle(desk)
    desk.accept()
    assert desk.status.startswith("nothing to accept")


def test_a_window_that_cannot_be_read_is_not_opened(drawn):
    window, strokes = drawn.window, drawn.strokes
    drawn.volume = drawn.volume.like(Damaged(drawn.volume.shape, drawn.volume.dtype))
    drawn.go_to(1)
    assert drawn.status == "not opened: chunk 0 is damaged"
    assert drawn.window == window
    assert drawn.strokes is strokes


def test_damaged_labels_of_a_window_can_be_accepted_again(drawn, screen_thread):
    drawn.accept()
    drawn.annotation.accepted[drawn.window].write_bytes(b"PK")
    drawn.go_to(1)
    drawn.go_to(0)
    assert "is damaged; accept the window" in drawn.status
    screen_thread.settle(drawn)
    drawn.accept()
    assert drawn.progress == "1 of 2 windows accepted, this one too"


def test_the_least_certain_place_needs_a_cut(desk, drawn):
    assert drawn.least_certain() == drawn.cut.least_certain()
    drawn.undo()
    assert drawn.least_certain() is None
    assert drawn.status == "there is no cut yet: draw foreground and background"
