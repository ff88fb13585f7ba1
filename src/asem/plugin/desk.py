"""What the annotator works at, without a window: one structure, one window of the volume, its cut.

What has to last is in the session, on disk. Here is what the screen shows of it, changed only in
the thread of the screen; windows are cut, predicted and saved in others.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from asem.annotate.annotation import Guess
from asem.annotate.energy import Cut
from asem.annotate.session import Session
from asem.annotate.strokes import BACKGROUND, FOREGROUND, Mark, Stroke, Verdict
from asem.image.components import components_of
from asem.plugin.cutting import Answer, Boundary, Cutting, Request
from asem.plugin.predicting import Predicting
from asem.plugin.saving import Saving
from asem.plugin.sheet import Sheet
from asem.structures import STRUCTURES
from asem.volume.roi import Roi, Triple
from asem.volume.volume import Volume
from asem.workflows.annotation import windows_of

if TYPE_CHECKING:
    from concurrent.futures import Future

NAMES = {FOREGROUND: "foreground", BACKGROUND: "background"}
What = Literal["window", "strokes", "cut", "state"]
"""What changed: all that is shown, strokes, the cut, or only words and buttons."""


class Desk:
    """An annotation under way.

    Parameters
    ----------
    volume
        Raw.
    session
        Its annotations; closed with the desk.
    structure
        What is annotated.
    post
        Has a function called later in the thread of the screen.
    """

    def __init__(
        self,
        volume: Volume,
        session: Session,
        structure: str,
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        self.volume, self.session = volume, session
        self.windows = windows_of(volume)
        self.changed: Callable[[What], None] = lambda what: None
        self.live, self.status = True, ""
        self._stale = False
        self.boundary = Boundary()
        self.cut: Cut | None = None
        self.guess: Guess | None
        self.foreground: npt.NDArray[np.uint8]
        self._stored: npt.NDArray[np.bool_] | None
        self._cutting = Cutting(volume, session.folder, post, self._answer)
        self._predicting = Predicting(volume, session, post, lambda: self.changed("state"))
        self._saving = Saving(volume, session, post, self.say)
        self._lay_out(0, structure)

    @property
    def window(self) -> Roi:
        """The part of raw that is shown."""
        return self.windows[self.number]

    @property
    def structures(self) -> list[str]:
        """Presets and what the session has begun."""
        return sorted({*STRUCTURES, *self.session.structures, self.structure})

    @property
    def progress(self) -> str:
        """How far one is, in words."""
        number = len(self.annotation.accepted)
        words = f"{number} of {len(self.windows)} windows accepted"
        if self._stored is not None:
            same = np.array_equal(self._stored, self.foreground)
            words += ", this one too" if same else ", this one before it changed"
        if self.guess is not None:
            words += "; a network began this one"
        share = self._predicting.share
        return words if share is None else f"{words}; predicting, {share:.0%}"

    @property
    def busy(self) -> bool:
        """Whether a cut, or what it needs, is under way."""
        return self._cutting.busy

    @property
    def can_forget(self) -> bool:
        """Whether there is a guess of this window, or one under way."""
        return self.predicting or self.annotation.has_guess(self.window)

    @property
    def predicting(self) -> bool:
        """Whether a prediction is under way."""
        return self._predicting.share is not None

    def choose(self, structure: str) -> None:
        """Annotate another structure."""
        self._turn_to(self.number, structure)

    def go_to(self, number: int) -> None:
        """Show a window, the nearest if there is none of this number (from 0)."""
        number = min(max(number, 0), len(self.windows) - 1)
        if number == self.number:
            self.say(f"there is no other window on this side of window {number + 1}")
        else:
            self._turn_to(number, self.structure)

    def preview(self, stroke: Stroke) -> None:
        """Show a part of a stroke that is being drawn."""
        self.strokes[stroke.covered(self.window)] = stroke.kind
        self.changed("strokes")

    def draw(self, mark: Mark) -> None:
        """Keep a mark, on disk, and cut again."""
        try:
            self.annotation.draw(mark)
        except (ValueError, OSError) as fault:
            self.say(f"not kept: {fault}")
            self._repaint()
            return
        self.strokes[mark.covered(self.window)] = mark.kind
        self._marked()

    def undo(self) -> None:
        """Take the last mark back, and show where it was."""
        self._turn(self.annotation.undo, "undo")

    def redo(self) -> None:
        """Bring the last mark back, and show where it is."""
        self._turn(self.annotation.redo, "redo")

    def judge(self, voxel: Triple, kind: int) -> None:
        """Accept (1) or reject (2) the object of the cut at a voxel of the window."""
        inside = Roi.whole(self.window.shape).contains(Roi(voxel, (1, 1, 1)))
        if not inside or not self.foreground[voxel]:
            self.say("there is no object under the pointer: point at a part of the overlay")
            return
        parts = components_of(self.foreground)
        self.draw(Verdict.of(kind, parts == parts[voxel], self.window.offset))

    def recut(self) -> None:
        """Cut the window by its strokes, in the other thread; what was asked before is dropped."""
        self._stale = False
        guessed = self.guess is not None
        there = [kind for kind in NAMES if guessed or (self.strokes == kind).any()]
        missing = [name for kind, name in NAMES.items() if kind not in there]
        known = self._cutting.knows(self.window)
        if missing and known:
            self._cutting.drop()
            self._show(None)
            self.say(f"draw {' and '.join(missing)}{' too' if len(missing) == 1 else ''}")
            return
        strokes = None if missing else self.strokes.copy()
        self._cutting.ask(Request(self.window, strokes, self.boundary, self.guess))
        self.say("cutting..." if known else "preparing this window (once, some seconds)...")

    def predict(self, checkpoint: Path) -> None:
        """Begin this window with what a network predicts; strokes correct it."""
        annotation, window, before = self.annotation, self.window, self.predicting

        def keep(guess: Guess) -> None:
            try:
                annotation.keep_guess(window, guess)
            except (ValueError, OSError) as fault:
                self.say(f"the prediction is not kept: {fault}")
                return
            if (annotation, window) == (self.annotation, self.window):
                self.guess = guess
                self.recut()
            else:
                self.say(f"window {(self.windows.first_in(window) or 0) + 1} is predicted")

        self._predicting.ask(
            window, checkpoint, keep, lambda fault: self.say(f"no prediction: {fault}")
        )
        dropped = "; the prediction before is dropped" if before else ""
        self.say(f"predicting, up to some minutes without a GPU; draw meanwhile{dropped}")

    def forget_guess(self) -> None:
        """Let strokes alone decide on this window; a prediction under way is stopped."""
        stopped = self.predicting
        self._predicting.stop()
        if not self.annotation.has_guess(self.window):
            already = "strokes alone decide on this window already"
            self.say("the prediction is stopped" if stopped else already)
            return
        try:
            self.annotation.forget_guess(self.window)
        except (ValueError, OSError) as fault:
            self.say(f"not changed: {fault}")
            return
        self.guess = None
        self.recut()

    def least_certain(self) -> Triple | None:
        """Return the voxel of the window whose side is least certain, if there is a cut."""
        place = self.cut.least_certain() if self.cut else None
        self.say(
            "there is no cut yet: draw foreground and background"
            if self.cut is None
            else "all of the window is bound by strokes"
            if place is None
            else "the least certain place: draw there, or go on"
        )
        return place

    def accept(self) -> None:
        """Keep the cut as the labels of the window; all background where only that is drawn."""
        drawn = set(np.unique(self.strokes).tolist()) - {0}
        stored = self._stored is not None and np.array_equal(self._stored, self.foreground)
        if self.busy:
            self.say("still cutting: accept the window when its cut is there")
        elif self._stale:
            self.say("the cut is older than the strokes: Cut now (C), then accept it")
        elif self.cut is None and stored:
            self.say("this window is accepted already: draw, or Cut now (C), to change it")
        elif self.cut is None and drawn != {BACKGROUND}:
            self.say("nothing to accept: draw, background alone if there is no such structure here")
        else:
            try:
                by = self.guess.by if self.guess else None
                self.annotation.accept(self.window, self.foreground.view(np.bool_), by)
            except (ValueError, OSError) as fault:
                self.say(f"not accepted: {fault}")
                return
            self._stored = self.foreground.view(np.bool_).copy()
            self.say(f"window {self.number + 1} accepted")

    def save(
        self, destination: Path, *, preset: bool = False, overwrite: bool = False
    ) -> "Future[Volume]":
        """Write the accepted windows as labels, in another thread."""
        self.say("saving...")
        return self._saving.save(self.structure, destination, preset=preset, overwrite=overwrite)

    def say(self, status: str) -> None:
        """Tell the annotator."""
        self.status = status
        self.changed("state")

    def close(self) -> None:
        """Stop cutting, finish saving, close the session."""
        self._cutting.close()
        self._predicting.close()
        self._saving.close()
        self.session.close()

    def _turn_to(self, number: int, structure: str) -> None:
        try:
            self._lay_out(number, structure)
        except (ValueError, OSError) as fault:
            self.say(f"not opened: {fault}")

    def _lay_out(self, number: int, structure: str) -> None:
        """Take a window of a structure; where it cannot be read, nothing changes."""
        annotation, window = self.session.structure(structure), self.windows[number]
        sheet = Sheet.of(self.volume, annotation, window)
        self.number, self.structure, self.annotation = number, structure, annotation
        self.image, self.strokes, self.guess = sheet.image, sheet.strokes, sheet.guess
        self.cut, self._stored = None, sheet.accepted
        self.foreground = np.zeros(window.shape, np.uint8)
        if self._stored is not None:
            self.foreground[...] = self._stored
        self.changed("window")
        if self._stored is None:
            self.recut()
        else:  # what was accepted stays until one wants it otherwise
            self._cutting.drop()
            self._stale = False
            self.say("accepted; draw, or Cut now (C), to change it")
        if sheet.damage:
            self.say(sheet.damage)

    def _turn(self, change: Callable[[], Mark | None], verb: str) -> None:
        try:
            mark = change()
        except (ValueError, OSError) as fault:
            self.say(f"cannot {verb}: {fault}")
            return
        if mark is None:
            self.say(f"there is nothing to {verb}")
        elif mark.box.intersect(self.window).size:
            self._repaint()
            self._marked()
        else:
            there = self.windows.first_in(mark.box)
            self.go_to(self.number if there is None else there)

    def _repaint(self) -> None:
        self.strokes[...] = self.annotation.painted(self.window)
        self.changed("strokes")

    def _marked(self) -> None:
        self.changed("strokes")
        if self.live:
            self.recut()
        else:
            self._stale = True
            self.say("kept; Cut now (C) shows what it changes")

    def _show(self, found: Cut | None) -> None:
        self.cut = found
        if found is not None:
            self.foreground[...] = found.foreground
        else:
            kept = None if self.strokes.any() else self._stored
            self.foreground[...] = 0 if kept is None else kept
        self.changed("cut")

    def _answer(self, answer: Answer | str) -> None:
        if isinstance(answer, str):
            self._show(None)
            self.say(f"no cut: {answer}")
        elif answer.cut is None:
            self.recut()  # says what is missing
        else:
            self._show(answer.cut)
            self.say(f"cut in {answer.seconds:.1f} s")
