"""The annotation model without Qt: windows, edits, acceptance."""

import numpy as np

from asem.annotate.edits import Stroke
from asem.plugin.cut_service import BoundaryOptions
from asem.volume.sources import open_labels
from asem.volume.zero_array import ZeroArray
from asem.workflows.describe import describe_volume
from strokes import BACKGROUND, FOREGROUND


class Damaged(ZeroArray):
    """An array on a broken disk."""

    def __getitem__(self, index):
        raise ValueError("chunk 0 is damaged")


def test_without_automatic_cuts_edits_change_no_cut(annotated, gui_thread):
    annotated.auto_cut, before = False, annotated.state.cut
    annotated.add_edit(Stroke(1, 0, 2, False, ((30, 10, 10),)))
    gui_thread.settle(annotated)
    assert annotated.state.cut is before
    annotated.accept_window()
    assert annotated.status == "the cut is outdated: press Update cut (C), then accept"
    annotated.request_cut()
    gui_thread.settle(annotated)
    assert annotated.state.foreground[30, 10, 10]


def test_a_cut_starts_from_a_prediction_and_strokes_correct_it(model, run, raw, gui_thread):
    model.predict_window(run)
    gui_thread.settle(model)
    assert model.status.startswith("cut in ")
    assert model.progress_text.endswith("; started from a prediction")
    predicted = model.state.cut
    model.add_edit(FOREGROUND)
    gui_thread.settle(model)
    assert model.state.cut is not predicted
    assert model.state.foreground[24, 4, 45]
    model.accept_window()
    assert model.status == "window 1 accepted"
    accepted = model.state.foreground.copy()
    model.go_to_window(1)
    gui_thread.settle(model)
    assert model.status == "draw foreground and background"
    model.go_to_window(0)
    gui_thread.settle(model)
    assert model.status.startswith("already accepted; draw")
    assert np.array_equal(model.state.foreground, accepted)
    model.request_cut()  # starts from the stored prediction
    gui_thread.settle(model)
    assert np.array_equal(model.state.foreground, accepted)
    model.save_labels(raw.parent / "labels/predicted").result()
    gui_thread.settle(model)
    (by,) = describe_volume(raw.parent / "labels/predicted")["made_by"]["facts"]["begun_by"]
    assert by["network"] == str(run.resolve())


def test_labels_record_the_network_from_which_they_started(model, run, raw, tmp_path, gui_thread):
    model.predict_window(run)
    gui_thread.settle(model)
    model.accept_window()
    model.boundary_options = BoundaryOptions(threshold=0.9)
    model.discard_prediction()
    gui_thread.settle(model)
    assert model.state.cut is None
    assert np.array_equal(
        model.state.foreground, model.annotation.read_labels(model.window)
    )  # as accepted
    model.save_labels(raw.parent / "labels/predicted").result()
    (by,) = describe_volume(raw.parent / "labels/predicted")["made_by"]["facts"]["begun_by"]
    assert by["network"] == str(run.resolve())


def test_an_accepted_window_can_become_all_background(annotated, gui_thread):
    annotated.accept_window()
    assert annotated.annotation.read_labels(annotated.window).any()
    annotated.add_edit(Stroke(2, 0, 4, False, FOREGROUND.path))  # over all foreground strokes
    gui_thread.settle(annotated)
    annotated.accept_window()
    assert annotated.status == "window 1 accepted"
    assert not annotated.annotation.read_labels(annotated.window).any()


def test_undo_and_redo_go_to_the_window_of_the_stroke(annotated, gui_thread):
    annotated.go_to_window(1)
    gui_thread.settle(annotated)
    assert not annotated.state.strokes.any()
    annotated.undo()
    assert annotated.window_index == 0
    gui_thread.settle(annotated)
    assert (annotated.state.strokes == 1).any()
    assert not (annotated.state.strokes == 2).any()
    annotated.redo()
    annotated.redo()
    assert annotated.status == "nothing to redo"


def test_windows_are_numbered_from_the_first_to_the_last(model):
    model.go_to_window(7)
    assert model.window_index == 1
    model.go_to_window(2)
    assert model.status == "window 2 is the last window"
    model.go_to_window(-1)
    assert model.window_index == 0
    model.go_to_window(-1)
    assert model.status == "window 1 is the first window"


def test_a_window_is_accepted_when_it_is_cut(annotated, gui_thread):
    annotated.add_edit(Stroke(1, 0, 2, False, ((30, 10, 10),)))
    annotated.accept_window()
    assert annotated.status == "cut in progress: accept the window when it has finished"
    gui_thread.settle(annotated)
    annotated.accept_window()
    assert annotated.status == "window 1 accepted"
    assert annotated.progress_text == "1 of 2 windows accepted; this one is accepted"
    annotated.undo()
    gui_thread.settle(annotated)
    assert annotated.progress_text == "1 of 2 windows accepted; this one has changed"
    annotated.go_to_window(1)
    gui_thread.settle(annotated)
    assert annotated.progress_text == "1 of 2 windows accepted"
    annotated.accept_window()
    assert annotated.status.startswith("nothing to accept: draw strokes")
    annotated.add_edit(Stroke(2, 0, 2, False, ((30, 10, 70),)))
    annotated.accept_window()
    assert annotated.progress_text == "2 of 2 windows accepted; this one is accepted"


def test_the_outcome_of_saving_is_shown(annotated, raw, gui_thread):
    path = raw.parent / "labels/mito"
    for status in ("not saved: no window of mito is accepted", "saved to cell.zarr/labels/mito"):
        annotated.save_labels(path).exception()
        gui_thread.calls.get(timeout=60)()
        assert annotated.status.startswith(status)
        annotated.accept_window()
    labels = open_labels(path)
    assert np.array_equal(labels.read(labels.roi), annotated.state.foreground)


def test_each_structure_has_its_own_strokes(annotated, gui_thread):
    assert annotated.structures == ["ccp", "er", "golgi", "mito", "npc"]
    annotated.set_structure("vesicle")
    gui_thread.settle(annotated)
    assert not annotated.state.strokes.any()
    assert "vesicle" in annotated.structures
    annotated.set_structure("a/b")
    assert annotated.status.startswith("window not opened: 'a/b' is no name of a structure")
    assert annotated.structure == "vesicle"
    annotated.set_structure("mito")
    assert annotated.annotation.edits == (FOREGROUND, BACKGROUND)


def test_a_stroke_that_cannot_be_stored_is_not_shown(annotated):
    before = annotated.state.strokes.copy()
    annotated.session.close()
    annotated.preview_stroke(Stroke(1, 0, 2, False, ((40, 40, 40),)))
    annotated.add_edit(Stroke(1, 0, 2, False, ((40, 40, 40),)))
    assert annotated.status.startswith("not saved: ")
    assert np.array_equal(annotated.state.strokes, before)
    annotated.undo()
    assert annotated.status.startswith("cannot undo: ")


def test_a_window_that_cannot_be_read_is_not_opened(annotated):
    window, strokes = annotated.window, annotated.state.strokes
    annotated.volume = annotated.volume.with_array(
        Damaged(annotated.volume.shape, annotated.volume.dtype)
    )
    annotated.go_to_window(1)
    assert annotated.status == "window not opened: chunk 0 is damaged"
    assert annotated.window == window
    assert annotated.state.strokes is strokes


def test_damaged_labels_of_a_window_can_be_accepted_again(annotated, gui_thread):
    annotated.accept_window()
    annotated.annotation.accepted_windows[annotated.window].write_bytes(b"PK")
    annotated.go_to_window(1)
    annotated.go_to_window(0)
    assert "is damaged; accept the window" in annotated.status
    gui_thread.settle(annotated)
    annotated.accept_window()
    assert annotated.progress_text == "1 of 2 windows accepted; this one is accepted"


def test_the_least_certain_voxel_needs_a_cut(model, annotated):
    assert annotated.find_least_certain() == annotated.state.cut.find_least_certain_voxel()
    annotated.undo()
    assert annotated.find_least_certain() is None
    assert annotated.status == "no cut yet: draw foreground and background"
