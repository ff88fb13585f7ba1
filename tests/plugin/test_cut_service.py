"""Cuts of the annotation model, without Qt."""

import numpy as np

from asem.annotate.edits import Stroke
from asem.plugin.cut_service import BoundaryOptions
from strokes import FOREGROUND


def test_missing_strokes_are_named(model):
    assert model.status == "draw foreground and background"
    model.add_edit(FOREGROUND)
    assert model.status == "draw background too"
    model.add_edit(Stroke(0, 0, 4, False, FOREGROUND.path))
    assert model.status == "draw foreground and background"


def test_only_the_newest_cut_is_shown(annotated, gui_thread):
    statuses = []
    annotated.on_change = lambda change: change == "cut" and statuses.append(annotated.status)
    for column in range(5):
        annotated.add_edit(Stroke(1, 0, 2, False, ((30, 10, 10 + column),)))
    gui_thread.settle(annotated)
    assert len(statuses) == 1
    assert annotated.state.foreground[30, 10, 14]


def test_smoothing_changes_the_cut_and_prepares_nothing_again(annotated, gui_thread):
    before = annotated.state.foreground.copy()
    annotated.boundary_options = BoundaryOptions(smoothing_nm=60)
    annotated.request_cut()
    assert annotated.status == "cutting..."
    gui_thread.settle(annotated)
    assert not np.array_equal(annotated.state.foreground, before)
    for threshold, grows in ((0.2, True), (0.8, False)):
        annotated.boundary_options = BoundaryOptions(threshold=threshold)
        annotated.request_cut()
        gui_thread.settle(annotated)
        assert (annotated.state.foreground.sum() > before.sum()) == grows


def test_the_error_of_preparing_a_window_is_shown(model, gui_thread, monkeypatch):
    monkeypatch.setattr(
        "asem.plugin.cut_service.prepare_window",
        lambda *_: (_ for _ in ()).throw(ValueError("grey")),
    )
    model.go_to_window(1)
    gui_thread.settle(model)
    assert model.status == "cut failed: grey"
    assert not model.is_cutting
    model.add_edit(Stroke(1, 0, 2, False, ((30, 10, 70),)))
    model.add_edit(Stroke(2, 0, 2, False, ((30, 30, 70),)))
    gui_thread.settle(model)
    model.accept_window()
    assert model.status.startswith("nothing to accept")
