"""Annotation model without Qt: one structure, one window, its strokes, cut and prediction.

The session on disk stores everything that persists. This model is changed only in the GUI thread;
cutting, prediction and saving run in worker threads.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from asem.annotate.edits import Edit, Stroke
from asem.annotate.session import AnnotationSession
from asem.annotate.window_files import PriorPrediction
from asem.plugin.cut_service import BoundaryOptions, CutService
from asem.plugin.gui_thread import CallInGuiThread, first_line_of
from asem.plugin.prediction_service import PredictionService
from asem.plugin.save_service import SaveService
from asem.plugin.status_text import (
    ALREADY_ACCEPTED,
    acceptance_problem,
    least_certain_text,
    progress_text,
)
from asem.plugin.window_state import WindowState
from asem.structures import PRESETS
from asem.volume.roi import IntZYX, Roi
from asem.volume.volume import Volume
from asem.workflows.annotation import window_grid_of

if TYPE_CHECKING:
    from concurrent.futures import Future

Change = Literal["window", "strokes", "cut", "state"]
"""What changed: everything shown, strokes, the cut, or only texts and buttons."""


class AnnotationModel:
    """The annotation of one structure at a time, window by window.

    Parameters
    ----------
    volume
        Raw.
    session
        Annotations of the volume; `close` closes it.
    structure
        The structure to annotate first.
    call_in_gui_thread
        Schedules a function in the GUI thread.

    Attributes
    ----------
    state
        The current window.
    on_change
        Called after each change with what changed.
    status
        Text of the status box.
    auto_cut
        Whether each edit requests a cut.
    """

    def __init__(
        self,
        volume: Volume,
        session: AnnotationSession,
        structure: str,
        call_in_gui_thread: CallInGuiThread,
    ) -> None:
        self.volume, self.session = volume, session
        self.windows = window_grid_of(volume)
        self.on_change: Callable[[Change], None] = lambda change: None
        self.auto_cut, self.status = True, ""
        self.boundary_options = BoundaryOptions()
        self._cut_service = CutService(
            volume,
            session.folder,
            call_in_gui_thread=call_in_gui_thread,
            on_cut=lambda: self.on_change("cut"),
            set_status=self.set_status,
        )
        self._prediction_service = PredictionService(
            volume,
            session,
            call_in_gui_thread=call_in_gui_thread,
            on_progress=lambda: self.on_change("state"),
        )
        self._save_service = SaveService(
            volume, session, call_in_gui_thread=call_in_gui_thread, set_status=self.set_status
        )
        self._load_window(0, structure)

    @property
    def window(self) -> Roi:
        """The current window, voxels of raw."""
        return self.windows[self.window_index]

    @property
    def structures(self) -> list[str]:
        """Names of presets and of all structures in the session."""
        return sorted({*PRESETS, *self.session.structures, self.structure})

    @property
    def progress_text(self) -> str:
        """Accepted windows, state of this window, progress of a prediction."""
        accepted_count = len(self.annotation.accepted_windows)
        fraction_done = self._prediction_service.fraction_done
        return progress_text(self.state, accepted_count, len(self.windows), fraction_done)

    @property
    def is_cutting(self) -> bool:
        """Whether a cut, or the preparation of the window, is running."""
        return self._cut_service.is_busy

    @property
    def can_discard_prediction(self) -> bool:
        """Whether this window has a prediction, or a prediction is running."""
        return self.is_predicting or self.annotation.has_prediction(self.window)

    @property
    def is_predicting(self) -> bool:
        """Whether a prediction is running."""
        return self._prediction_service.fraction_done is not None

    def set_structure(self, structure: str) -> None:
        """Annotate another structure."""
        self._switch_to(self.window_index, structure)

    def go_to_window(self, index: int) -> None:
        """Show the window of an index (from 0), or the nearest one."""
        index = min(max(index, 0), len(self.windows) - 1)
        if index != self.window_index:
            self._switch_to(index, self.structure)
        elif len(self.windows) == 1:
            self.set_status("this volume has only one window")
        else:
            self.set_status(f"window {index + 1} is the {'last' if index else 'first'} window")

    def preview_stroke(self, stroke: Stroke) -> None:
        """Show part of a stroke before it is complete."""
        self.state.strokes[stroke.covered_voxels(self.window)] = stroke.label
        self.on_change("strokes")

    def add_edit(self, edit: Edit) -> None:
        """Store a stroke or an object decision, and update the cut."""
        if not self._try("not saved", lambda: self.annotation.add_edit(edit)):
            self._redraw_strokes()
            return
        self.state.strokes[edit.covered_voxels(self.window)] = edit.label
        self._after_edit()

    def undo(self) -> None:
        """Undo the last edit; shows its window if it is elsewhere."""
        self._undo_or_redo(self.annotation.undo, "undo")

    def redo(self) -> None:
        """Redo the last undone edit; shows its window if it is elsewhere."""
        self._undo_or_redo(self.annotation.redo, "redo")

    def decide_object(self, voxel: IntZYX, label: int) -> None:
        """Accept (1) or reject (2) the object of the cut at a voxel of the window."""
        decision = self.state.make_decision(voxel, label)
        if decision is None:
            self.set_status("no object under the pointer; point at the overlay")
        else:
            self.add_edit(decision)

    def request_cut(self) -> None:
        """Cut the window from its strokes; replaces a running cut."""
        self._cut_service.submit(self.state, self.boundary_options)

    def predict_window(self, checkpoint: Path) -> None:
        """Predict this window; the next cut starts from the prediction."""
        annotation, window = self.annotation, self.window
        cancelled = "; the previous prediction was cancelled" if self.is_predicting else ""

        def show(prediction: PriorPrediction) -> None:
            if (annotation, window) == (self.annotation, self.window):
                self.state.prediction = prediction
                self.request_cut()
            else:
                number = (self.windows.first_index_in(window) or 0) + 1
                self.set_status(f"prediction of window {number} is ready")

        self._prediction_service.submit(
            annotation, window, checkpoint, on_result=show, on_error=self.set_status
        )
        self.set_status(f"predicting (minutes without a GPU); you can continue drawing{cancelled}")

    def discard_prediction(self) -> None:
        """Delete the prediction of this window and cancel a running one."""
        was_predicting = self.is_predicting
        self._prediction_service.cancel()
        if not self.annotation.has_prediction(self.window):
            self.set_status(
                "prediction cancelled" if was_predicting else "this window has no prediction"
            )
        elif self._try(
            "prediction not discarded", lambda: self.annotation.discard_prediction(self.window)
        ):
            self.state.prediction = None
            self.request_cut()

    def find_least_certain(self) -> IntZYX | None:
        """Return the voxel of the window with the least certain label; None without a cut."""
        cut = self.state.cut
        voxel = cut.find_least_certain_voxel() if cut else None
        self.set_status(least_certain_text(cut, voxel))
        return voxel

    def accept_window(self) -> None:
        """Store the cut as the labels of the window; all background if only that is drawn."""
        state = self.state
        problem = acceptance_problem(state, is_cutting=self.is_cutting)
        if problem:
            self.set_status(problem)
            return
        labels = state.foreground.view(np.bool_).copy()
        model = state.prediction.model if state.prediction else None
        if self._try(
            "not accepted", lambda: self.annotation.accept_window(state.window, labels, model)
        ):
            state.accepted_labels = labels
            self.set_status(f"window {self.window_index + 1} accepted")

    def save_labels(
        self, destination: Path, *, apply_preset: bool = False, overwrite: bool = False
    ) -> "Future[Volume]":
        """Write the accepted windows as labels, in a worker thread."""
        self.set_status("saving...")
        return self._save_service.submit(
            self.structure, destination, apply_preset=apply_preset, overwrite=overwrite
        )

    def set_status(self, status: str) -> None:
        """Set the text of the status box."""
        self.status = status
        self.on_change("state")

    def close(self) -> None:
        """Cancel cutting and prediction, finish saving, close the session."""
        self._cut_service.close()
        self._prediction_service.close()
        self._save_service.close()
        self.session.close()

    def _try(self, failure: str, function: Callable[[], object]) -> bool:
        """Call a function; on an error show it in the status box and return False."""
        try:
            function()
        except (ValueError, OSError) as error:
            self.set_status(f"{failure}: {first_line_of(error)}")
            return False
        return True

    def _switch_to(self, index: int, structure: str) -> None:
        self._try("window not opened", lambda: self._load_window(index, structure))

    def _load_window(self, index: int, structure: str) -> None:
        """Read a window of a structure; if raw cannot be read, nothing changes."""
        annotation = self.session.open_structure(structure)
        state = WindowState.read(self.volume, annotation, self.windows[index])
        self.window_index, self.structure = index, structure
        self.annotation, self.state = annotation, state
        self.on_change("window")
        if state.accepted_labels is None:
            self.request_cut()
        else:  # accepted labels are shown until a cut is requested
            self._cut_service.cancel()
            self.set_status(ALREADY_ACCEPTED)
        if state.read_error:
            self.set_status(state.read_error)

    def _undo_or_redo(self, change: Callable[[], Edit | None], verb: str) -> None:
        try:
            edit = change()
        except (ValueError, OSError) as error:
            self.set_status(f"cannot {verb}: {first_line_of(error)}")
            return
        if edit is None:
            self.set_status(f"nothing to {verb}")
        elif edit.box.intersect(self.window).size:
            self._redraw_strokes()
            self._after_edit()
        else:
            index = self.windows.first_index_in(edit.box)
            self.go_to_window(self.window_index if index is None else index)

    def _redraw_strokes(self) -> None:
        self.state.strokes[...] = self.annotation.stroke_labels(self.window)
        self.on_change("strokes")

    def _after_edit(self) -> None:
        self.on_change("strokes")
        if self.auto_cut:
            self.request_cut()
        else:
            self.state.is_cut_outdated = True
            self.set_status("saved; press Update cut (C) to update the segmentation")
