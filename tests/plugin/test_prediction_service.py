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


def test_drawing_and_navigation_continue_during_a_prediction(annotated, run, gui_thread):
    annotated.predict_window(run)
    annotated.add_edit(Stroke(1, 0, 2, False, ((30, 10, 10),)))
    assert annotated.is_predicting
    assert "predicting, " in annotated.progress_text
    annotated.go_to_window(1)
    gui_thread.settle(annotated)
    assert annotated.state.prediction is None
    assert "predicting" not in annotated.progress_text
    annotated.go_to_window(0)
    assert annotated.state.prediction is not None
    gui_thread.settle(annotated)
    assert annotated.state.foreground[30, 10, 10]


def test_closing_ends_a_prediction(annotated, run, monkeypatch):
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
    annotated.predict_window(run)
    assert started.wait(10)
    annotated.close()
    assert ended.is_set()


def test_a_damaged_prediction_is_reported_and_strokes_are_read(annotated, run, gui_thread):
    annotated.predict_window(run)
    gui_thread.settle(annotated)
    (file,) = (annotated.annotation.folder / "predictions").iterdir()
    file.write_bytes(b"")
    annotated.go_to_window(1)
    gui_thread.settle(annotated)
    annotated.go_to_window(0)
    assert "is damaged; predict the window" in annotated.status
    gui_thread.settle(annotated)
    assert annotated.state.strokes.any()
    assert annotated.can_discard_prediction
    annotated.discard_prediction()
    gui_thread.settle(annotated)
    assert annotated.status.startswith("cut in ")
    assert not annotated.can_discard_prediction


def test_a_prediction_is_cancelled_or_replaced(annotated, run, monkeypatch, gui_thread):
    started = Event()

    def endless(*arguments):
        started.set()
        while True:
            arguments[-1]("predict", 0, 1)
            time.sleep(0.01)

    monkeypatch.setattr(prediction_service, "predict_window", endless)
    annotated.predict_window(run)
    assert started.wait(10)
    assert annotated.can_discard_prediction
    annotated.discard_prediction()
    assert annotated.status == "prediction cancelled"
    assert not annotated.is_predicting
    annotated.predict_window(run)
    monkeypatch.undo()
    annotated.predict_window(run)
    assert annotated.status.endswith("; the previous prediction was cancelled")
    gui_thread.settle(annotated)
    assert annotated.state.prediction is not None


def test_a_failed_prediction_leaves_the_cut(annotated, tmp_path, gui_thread):
    annotated.predict_window(tmp_path / "none")
    gui_thread.settle(annotated)
    assert annotated.status.startswith("prediction failed: ")
    assert "none" in annotated.status
    assert annotated.state.foreground.any()
    assert annotated.state.prediction is None
    annotated.request_cut()
    gui_thread.settle(annotated)
    assert annotated.status.startswith("cut in ")
