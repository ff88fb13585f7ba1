"""Predictions of the annotation model, without Qt."""

import time
from threading import Event

import numpy as np

from asem.annotate.edits import Stroke
from asem.plugin import prediction_service
from asem.plugin.annotation_model import AnnotationModel
from asem.workflows.annotation import open_session


def test_a_prediction_is_stored_until_it_is_discarded(raw, run, gui_thread):
    model = AnnotationModel(*open_session(raw), "mito", gui_thread.calls.put)
    model.predict_window(run)
    gui_thread.settle(model)
    probability = model.state.prediction.probability.copy()
    foreground = model.state.foreground.copy()
    model.close()
    reopened = AnnotationModel(*open_session(raw), "mito", gui_thread.calls.put)
    gui_thread.settle(reopened)
    assert np.array_equal(reopened.state.prediction.probability, probability)
    assert np.array_equal(reopened.state.foreground, foreground)
    reopened.set_structure("er")
    assert reopened.state.prediction is None
    reopened.set_structure("mito")
    reopened.discard_prediction()
    gui_thread.settle(reopened)
    assert reopened.status == "draw foreground and background"
    assert not reopened.state.foreground.any()
    reopened.discard_prediction()
    assert reopened.status == "this window has no prediction"
    reopened.close()


def test_drawing_and_navigation_continue_during_a_prediction(drawn, run, gui_thread):
    drawn.predict_window(run)
    drawn.add_edit(Stroke(1, 0, 2, False, ((30, 10, 10),)))
    assert drawn.is_predicting
    assert "predicting, " in drawn.progress_text
    drawn.go_to_window(1)
    gui_thread.settle(drawn)
    assert drawn.state.prediction is None
    assert "predicting" not in drawn.progress_text
    drawn.go_to_window(0)
    assert drawn.state.prediction is not None
    gui_thread.settle(drawn)
    assert drawn.state.foreground[30, 10, 10]


def test_closing_ends_a_prediction(drawn, run, monkeypatch):
    started, ended = Event(), Event()

    def endless(*arguments):
        started.set()
        try:
            while True:
                arguments[-1]("predict", 0, 1)
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr(prediction_service, "predict_window", endless)
    drawn.predict_window(run)
    assert started.wait(10)
    drawn.close()
    assert ended.is_set()


def test_a_damaged_prediction_is_reported_and_strokes_are_read(drawn, run, gui_thread):
    drawn.predict_window(run)
    gui_thread.settle(drawn)
    (file,) = (drawn.annotation.folder / "predictions").iterdir()
    file.write_bytes(b"")
    drawn.go_to_window(1)
    gui_thread.settle(drawn)
    drawn.go_to_window(0)
    assert "is damaged; predict the window" in drawn.status
    gui_thread.settle(drawn)
    assert drawn.state.strokes.any()
    assert drawn.can_discard_prediction
    drawn.discard_prediction()
    gui_thread.settle(drawn)
    assert drawn.status.startswith("cut in ")
    assert not drawn.can_discard_prediction


def test_a_prediction_is_cancelled_or_replaced(drawn, run, monkeypatch, gui_thread):
    started = Event()

    def endless(*arguments):
        started.set()
        while True:
            arguments[-1]("predict", 0, 1)
            time.sleep(0.01)

    monkeypatch.setattr(prediction_service, "predict_window", endless)
    drawn.predict_window(run)
    assert started.wait(10)
    assert drawn.can_discard_prediction
    drawn.discard_prediction()
    assert drawn.status == "prediction cancelled"
    assert not drawn.is_predicting
    drawn.predict_window(run)
    monkeypatch.undo()
    drawn.predict_window(run)
    assert drawn.status.endswith("; the previous prediction was cancelled")
    gui_thread.settle(drawn)
    assert drawn.state.prediction is not None


def test_a_failed_prediction_leaves_the_cut(drawn, tmp_path, gui_thread):
    drawn.predict_window(tmp_path / "none")
    gui_thread.settle(drawn)
    assert drawn.status.startswith("prediction failed: ")
    assert "none" in drawn.status
    assert drawn.state.foreground.any()
    assert drawn.state.prediction is None
    drawn.request_cut()
    gui_thread.settle(drawn)
    assert drawn.status.startswith("cut in ")
