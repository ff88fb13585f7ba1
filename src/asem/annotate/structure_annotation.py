"""Annotation of one structure: an append-only log of edits, accepted windows and predictions.

Every event is on disk before the next one, so that a crash loses no stroke. Opening an annotation
replays its log from the first event to the last (`asem.annotate.edit_history` has the undo stack).
Discarded edits remain in the log::

    {"draw": edit}       "undo"               "redo"
    {"accept": window}   {"reopen": window}
    {"prediction": window}    {"discard": window}   a prediction is stored, discarded
"""

import logging
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from asem.annotate.edit_history import EditHistory
from asem.annotate.edits import Edit, edit_from_json
from asem.annotate.window_files import (
    PriorPrediction,
    read_initial_model,
    read_labels,
    read_prediction,
    window_path,
    write_labels,
    write_prediction,
)
from asem.blocks.append_only_log import AppendOnlyLog
from asem.config import shorten
from asem.volume.roi import Roi, parse_roi

LOGGER = logging.getLogger(__name__)
EVENTS_FILE = "log.jsonl"
LINE_STARTS = (b'{"', b'"')
"""Allowed starts of a line: objects and strings."""
ACCEPTED_FOLDER, PREDICTIONS_FOLDER = "accepted", "predictions"
"""Folders of arrays, one file for each window."""


class StructureAnnotation:
    """Edits, accepted windows and predictions of a structure; `AnnotationSession` opens it.

    A window is a Roi inside the volume, in the voxels of raw, and not empty.

    Parameters
    ----------
    folder
        Of the structure; it exists.
    volume_roi
        Box of raw.
    lock
        Of the session; after it is closed, nothing can be changed.

    Raises
    ------
    ValueError
        The log is damaged; an incomplete last line is allowed.
    """

    def __init__(self, folder: Path, volume_roi: Roi, lock: IO[bytes]) -> None:
        self.folder, self.volume_roi, self._lock = folder, volume_roi, lock
        self._history = EditHistory()
        self._accepted_files: dict[Roi, Path] = {}
        self._predicted_windows: set[Roi] = set()
        self._log = AppendOnlyLog(folder / EVENTS_FILE, LINE_STARTS)
        try:
            for line, event in enumerate(self._log.read(), start=1):
                self._replay_event(event, f"{self._log.path}, line {line}")
        except ValueError:
            self.close()
            raise

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits that are not undone, in order."""
        return self._history.edits

    @property
    def can_undo(self) -> bool:
        """Whether there is an edit to undo."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone edit, and none was added since."""
        return self._history.can_redo

    def add_edit(self, edit: Edit) -> None:
        """Add an edit; discard those that were undone. ValueError if it is outside the volume."""
        if not edit.box.intersect(self.volume_roi).size:
            raise ValueError(f"an edit at {edit.box} is outside the volume, {self.volume_roi}")
        self._log.append({"draw": edit.to_json()})
        self._history.add(edit)

    def undo(self) -> Edit | None:
        """Undo the last edit and return it; None where there is none."""
        if not self.can_undo:
            return None
        self._log.append("undo")
        return self._history.undo()

    def redo(self) -> Edit | None:
        """Redo the edit that was undone last and return it; None where there is none."""
        if not self.can_redo:
            return None
        self._log.append("redo")
        return self._history.redo()

    def stroke_labels(self, window: Roi) -> npt.NDArray[np.uint8]:
        """Return the labels that the edits give to a window; where they overlap, the last counts.

        Returns
        -------
        ndarray
            uint8, the shape of `window`: 1 foreground, 2 background, 0 nothing.

        Raises
        ------
        ValueError
            The window is empty or not inside the volume.
        """
        self._check_window(window)
        return self._history.stroke_labels(window)

    @property
    def accepted_windows(self) -> dict[Roi, Path]:
        """The accepted windows in order of acceptance, and the files of their labels."""
        return self._accepted_files.copy()

    def accept_window(
        self,
        window: Roi,
        foreground: npt.NDArray[np.bool_],
        initial_model: dict[str, Any] | None = None,
    ) -> None:
        """Store the labels of a window, replacing earlier ones.

        Parameters
        ----------
        window
            Equal to an accepted one, or without overlap with any.
        foreground
            bool, the shape of `window`.
        initial_model
            The network whose prediction was corrected (`PriorPrediction.model`); None: no network.

        Raises
        ------
        ValueError
            The window is empty, not inside the volume or overlaps an accepted one, the labels are
            not bool in its shape, or the session is closed.
        """
        self._check_window(window)
        if foreground.dtype != np.bool_ or foreground.shape != window.shape:
            raise ValueError(
                f"labels of the window {window} are bool of shape {window.shape}, not "
                f"{foreground.dtype} of shape {foreground.shape}"
            )
        for other in self._accepted_files:
            if other != window and other.intersect(window).size:
                raise ValueError(
                    f"the window {window} overlaps {other}, which is accepted; reopen that one, or "
                    "choose a window without overlap"
                )
        self._check_open()
        path = window_path(self.folder / ACCEPTED_FOLDER, window)
        write_labels(path, foreground, initial_model)
        self._log.append({"accept": str(window)})
        self._accepted_files[window] = path

    def read_labels(self, window: Roi) -> npt.NDArray[np.bool_]:
        """Return the labels of an accepted window, bool, in its shape.

        Raises
        ------
        ValueError
            The window is not accepted.
        OSError
            The file of its labels is missing or damaged.
        """
        return read_labels(self._accepted_path(window), window)

    def read_initial_model(self, window: Roi) -> dict[str, Any] | None:
        """Return the network whose prediction an accepted window started from; None without one.

        Also None where the file is missing or damaged, which a warning reports.

        Raises
        ------
        ValueError
            The window is not accepted.
        """
        path = self._accepted_path(window)
        try:
            return read_initial_model(path, window)
        except OSError as error:
            LOGGER.warning("the network that predicted the window %s is unclear: %s", window, error)
            return None

    def reopen_window(self, window: Roi) -> None:
        """Make an accepted window editable again; ValueError if it is not accepted.

        The file of its labels remains until the window is accepted again.
        """
        self._accepted_path(window)
        self._log.append({"reopen": str(window)})
        del self._accepted_files[window]

    def store_prediction(self, window: Roi, prediction: PriorPrediction) -> None:
        """Store the prediction that a window starts from; other windows may overlap it.

        Raises
        ------
        ValueError
            The window is empty or not inside the volume, the prediction is not uint8 in its shape,
            or the session is closed.
        """
        self._check_window(window)
        probability = prediction.probability
        if probability.dtype != np.uint8 or probability.shape != window.shape:
            raise ValueError(
                f"a prediction of the window {window} is uint8 of shape {window.shape}, not "
                f"{probability.dtype} of shape {probability.shape}"
            )
        self._check_open()
        write_prediction(window_path(self.folder / PREDICTIONS_FOLDER, window), prediction)
        self._log.append({"prediction": str(window)})
        self._predicted_windows.add(window)

    def has_prediction(self, window: Roi) -> bool:
        """Whether a prediction of a window is stored."""
        return window in self._predicted_windows

    def read_prediction(self, window: Roi) -> PriorPrediction | None:
        """Return the prediction of a window; None without one.

        Raises
        ------
        OSError
            Its file is missing or damaged.
        """
        if not self.has_prediction(window):
            return None
        return read_prediction(window_path(self.folder / PREDICTIONS_FOLDER, window), window)

    def discard_prediction(self, window: Roi) -> None:
        """Discard the prediction of a window; ValueError if it has none."""
        if not self.has_prediction(window):
            raise ValueError(f"there is no prediction of the window {window}")
        self._log.append({"discard": str(window)})
        self._predicted_windows.remove(window)

    def close(self) -> None:
        """Close the log; afterwards, nothing can be changed."""
        self._log.close()

    def _check_window(self, window: Roi) -> None:
        if not window.size or not self.volume_roi.contains(window):
            raise ValueError(
                f"the window {window} is empty or not inside the volume, {self.volume_roi}"
            )

    def _check_open(self) -> None:
        if self._lock.closed:
            raise ValueError(f"{self.folder} is closed; open its session again")

    def _accepted_path(self, window: Roi) -> Path:
        if window not in self._accepted_files:
            raise ValueError(f"the window {window} is not accepted; accept it first")
        return self._accepted_files[window]

    def _replay_event(self, event: Any, where: str) -> None:
        """Apply an event of the log; ValueError, with its line, if it is not possible here."""
        try:
            match event:
                case "undo" if self.can_undo:
                    self._history.undo()
                case "redo" if self.can_redo:
                    self._history.redo()
                case {"draw": edit} if len(event) == 1:
                    self._history.add(edit_from_json(edit))
                case {"accept": str(text)} if len(event) == 1:
                    window = parse_roi(text, self.volume_roi.shape)
                    self._accepted_files[window] = window_path(
                        self.folder / ACCEPTED_FOLDER, window
                    )
                case {"reopen": str(text)} if len(event) == 1:
                    window = parse_roi(text, self.volume_roi.shape)
                    self._accepted_path(window)
                    del self._accepted_files[window]
                case {"prediction": str(text)} if len(event) == 1:
                    self._predicted_windows.add(parse_roi(text, self.volume_roi.shape))
                case {"discard": str(text)} if len(event) == 1:
                    self._predicted_windows.discard(parse_roi(text, self.volume_roi.shape))
                case _:
                    raise ValueError(f"{shorten(event)} is no possible event here")
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
