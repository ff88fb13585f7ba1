"""The annotation of one structure: what was marked, guessed and finished.

On disk after each stroke, so that a crash takes nothing that was drawn. The state is what comes of
the events in its log, from the first to the last. Marks are a pile with a level: those below it
hold; those above it were undone, can be redone, and are gone when one draws::

    draw a, draw b, undo      a | b
    draw c                    a   c |          (b is still in the log)

    events: {"draw": mark}  "undo"  "redo"  {"accept": window}  {"reopen": window}
            {"guess": window}  {"forget": window}
"""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from asem.annotate.strokes import Mark, mark_of
from asem.annotate.window_files import (
    window_arrays,
    window_file,
    window_path,
    window_table,
)
from asem.blocks.log import AppendedLog
from asem.config import excerpt
from asem.system.npz import Form
from asem.volume.roi import Roi, parse_roi

LOGGER = logging.getLogger(__name__)
LOG = "log.jsonl"
BEGINS = (b'{"', b'"')
"""Of its lines: objects and strings."""
ACCEPTED, GUESSES = "accepted", "guesses"
"""Folders of arrays, a file for each window."""


@dataclass(frozen=True, eq=False)
class Guess:
    """What a network predicts of a window, for strokes to correct.

    Parameters
    ----------
    probability
        uint8, 255 times the probability of foreground.
    by
        Which network: JSON values.
    """

    probability: npt.NDArray[np.uint8]
    by: dict[str, Any]


class Annotation:
    """What was marked and accepted for one structure; `Session.structure` opens it.

    A window is a Roi inside the volume, in raw's voxels, and not empty.

    Parameters
    ----------
    folder
        Of the structure; it exists.
    volume
        Of raw.
    lock
        Of the session, which lasts as long as somebody draws.

    Raises
    ------
    ValueError
        The log is damaged otherwise than by a last line that was cut off.
    """

    def __init__(self, folder: Path, volume: Roi, lock: IO[bytes]) -> None:
        self.folder, self.volume, self._lock = folder, volume, lock
        self._marks: list[Mark] = []
        self._level = 0
        self._accepted: dict[Roi, Path] = {}
        self._guessed: set[Roi] = set()
        self._log = AppendedLog(folder / LOG, BEGINS)
        try:
            for line, event in enumerate(self._log.read(), start=1):
                self._replay(event, f"{self._log.path}, line {line}")
        except ValueError:
            self.close()
            raise

    @property
    def marks(self) -> tuple[Mark, ...]:
        """Those that hold, the first one first."""
        return tuple(self._marks[: self._level])

    @property
    def can_undo(self) -> bool:
        """Whether a mark holds."""
        return self._level > 0

    @property
    def can_redo(self) -> bool:
        """Whether a mark was undone and nothing was drawn since."""
        return self._level < len(self._marks)

    def draw(self, mark: Mark) -> None:
        """Add a mark; those that were undone are gone. ValueError if it is outside the volume."""
        if not mark.box.intersect(self.volume).size:
            raise ValueError(f"a mark at {mark.box} is outside the volume, {self.volume}")
        self._log.append({"draw": mark.to_json()})
        self._drawn(mark)

    def undo(self) -> Mark | None:
        """Take the last mark back and return it; None where there is none."""
        if not self.can_undo:
            return None
        self._log.append("undo")
        self._level -= 1
        return self._marks[self._level]

    def redo(self) -> Mark | None:
        """Bring back the mark that was undone last and return it; None where there is none."""
        if not self.can_redo:
            return None
        self._log.append("redo")
        self._level += 1
        return self._marks[self._level - 1]

    def painted(self, window: Roi) -> npt.NDArray[np.uint8]:
        """Return what the marks make of a window, of which later ones lie over earlier ones.

        Returns
        -------
        ndarray
            uint8, the shape of `window`: 1 foreground, 2 background, 0 nothing.

        Raises
        ------
        ValueError
            The window is empty or leaves the volume.
        """
        self._check(window)
        painted = np.zeros(window.shape, np.uint8)
        for mark in self.marks:
            if mark.box.intersect(window).size:
                painted[mark.covered(window)] = mark.kind
        return painted

    @property
    def accepted(self) -> dict[Roi, Path]:
        """The finished windows, the first one first, and the files of their labels."""
        return self._accepted.copy()

    def accept(
        self,
        window: Roi,
        foreground: npt.NDArray[np.bool_],
        begun_by: dict[str, Any] | None = None,
    ) -> None:
        """Store the labels of a finished window, instead of earlier ones if it has any.

        Parameters
        ----------
        window
            The same as one that is accepted, or beside all of them.
        foreground
            bool, the shape of `window`.
        begun_by
            Which network's guess was corrected, if one was (`Guess.by`).

        Raises
        ------
        ValueError
            The window is empty, leaves the volume or overlaps another one, the labels are not bool
            in its shape, or the session is closed.
        """
        self._check(window)
        if foreground.dtype != np.bool_ or foreground.shape != window.shape:
            raise ValueError(
                f"labels of the window {window} are bool of shape {window.shape}, not "
                f"{foreground.dtype} of shape {foreground.shape}"
            )
        for other in self._accepted:
            if other != window and other.intersect(window).size:
                raise ValueError(
                    f"the window {window} overlaps {other}, which is accepted; reopen that one, or "
                    "take a window beside it"
                )
        self._check_open()
        path = window_path(self.folder / ACCEPTED, window)
        with window_file(path) as file:
            by = np.array(json.dumps(begun_by))
            np.savez_compressed(file, foreground=foreground, begun_by=by)
        self._log.append({"accept": str(window)})
        self._accepted[window] = path

    def labels(self, window: Roi) -> npt.NDArray[np.bool_]:
        """Return the labels of an accepted window, in its shape.

        Raises
        ------
        ValueError
            The window is not accepted.
        OSError
            The file of its labels is gone or damaged.
        """
        path = self._accepted_path(window)
        forms = {"foreground": Form("bool", window.shape)}
        return window_arrays(path, f"accept the window {window} again", forms)["foreground"]

    def begun_by(self, window: Roi) -> dict[str, Any] | None:
        """Return the network whose guess an accepted window began with; None for strokes alone.

        A file that is gone or damaged is named in a warning. ValueError if it is not accepted.
        """
        path = self._accepted_path(window)
        try:
            return window_table(path, "begun_by", f"accept the window {window} again")
        except OSError as error:
            LOGGER.warning(
                "it is not known which network the window %s began with: %s", window, error
            )
            return None

    def reopen(self, window: Roi) -> None:
        """Take a window's acceptance back; ValueError if it has none.

        The file of its labels stays where it is, until the window is accepted again.
        """
        self._accepted_path(window)
        self._log.append({"reopen": str(window)})
        del self._accepted[window]

    def keep_guess(self, window: Roi, guess: Guess) -> None:
        """Begin a window with what a network predicts; other windows may overlap it.

        Raises
        ------
        ValueError
            The window is empty or leaves the volume, the guess is not uint8 in its shape, or the
            session is closed.
        """
        self._check(window)
        found = guess.probability
        if found.dtype != np.uint8 or found.shape != window.shape:
            raise ValueError(
                f"a guess of the window {window} is uint8 of shape {window.shape}, not "
                f"{found.dtype} of shape {found.shape}"
            )
        self._check_open()
        with window_file(window_path(self.folder / GUESSES, window)) as file:
            np.savez(file, probability=found, by=np.array(json.dumps(guess.by)))
        self._log.append({"guess": str(window)})
        self._guessed.add(window)

    def has_guess(self, window: Roi) -> bool:
        """Whether a network begins a window."""
        return window in self._guessed

    def guess(self, window: Roi) -> Guess | None:
        """Return what a network predicts of a window; None where strokes alone decide.

        Raises
        ------
        OSError
            Its file is gone or damaged.
        """
        if not self.has_guess(window):
            return None
        path = window_path(self.folder / GUESSES, window)
        advice = f"predict the window {window} again"
        forms = {"probability": Form("uint8", window.shape)}
        found = window_arrays(path, advice, forms)["probability"]
        return Guess(found, window_table(path, "by", advice) or {})

    def forget_guess(self, window: Roi) -> None:
        """Let strokes alone decide on a window; ValueError if no network begins it."""
        if not self.has_guess(window):
            raise ValueError(f"no network begins the window {window}")
        self._log.append({"forget": str(window)})
        self._guessed.remove(window)

    def close(self) -> None:
        """Close the log: nothing can be changed any more."""
        self._log.close()

    def _check(self, window: Roi) -> None:
        if not window.size or not self.volume.contains(window):
            raise ValueError(f"the window {window} is empty or leaves the volume, {self.volume}")

    def _check_open(self) -> None:
        if self._lock.closed:
            raise ValueError(f"{self.folder} is closed; open its session again")

    def _accepted_path(self, window: Roi) -> Path:
        if window not in self._accepted:
            raise ValueError(f"the window {window} is not accepted; accept it first")
        return self._accepted[window]

    def _drawn(self, mark: Mark) -> None:
        self._marks[self._level :] = [mark]
        self._level += 1

    def _replay(self, event: Any, where: str) -> None:
        """Do again what the log tells; ValueError, at `where`, if it cannot have happened."""
        try:
            match event:
                case "undo" if self.can_undo:
                    self._level -= 1
                case "redo" if self.can_redo:
                    self._level += 1
                case {"draw": mark} if len(event) == 1:
                    self._drawn(mark_of(mark))
                case {"accept": str(text)} if len(event) == 1:
                    window = parse_roi(text, self.volume.shape)
                    self._accepted[window] = window_path(self.folder / ACCEPTED, window)
                case {"reopen": str(text)} if len(event) == 1:
                    window = parse_roi(text, self.volume.shape)
                    self._accepted_path(window)
                    del self._accepted[window]
                case {"guess": str(text)} if len(event) == 1:
                    self._guessed.add(parse_roi(text, self.volume.shape))
                case {"forget": str(text)} if len(event) == 1:
                    self._guessed.discard(parse_roi(text, self.volume.shape))
                case _:
                    raise ValueError(f"{excerpt(event)} cannot have happened here")
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
