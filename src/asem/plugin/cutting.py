"""Windows in a thread of their own: prepared, once, and cut by strokes, again and again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from asem.annotate.annotation import Guess
from asem.annotate.energy import Cut
from asem.annotate.graphcut import GraphCutConfig, Region, cut
from asem.annotate.membranes import MembraneConfig, MembraneRegion
from asem.blocks.kernels import work_lock
from asem.plugin.live import LiveCutter
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows.annotation import prepare_window

MOST_REGIONS = 2
"""Prepared and kept in memory."""


@dataclass(frozen=True)
class Boundary:
    """How the boundary of a cut is drawn; the paper's energy has nothing of it.

    Parameters
    ----------
    smoothing_nm, threshold
        As `MembraneConfig` says.
    """

    smoothing_nm: float = MembraneConfig().smoothing_nm
    threshold: float = MembraneConfig().threshold

    def of(self, region: Region) -> Region:
        """Return a region that is cut with it."""
        if not isinstance(region, MembraneRegion):
            return region
        return replace(region, config=region.config.model_copy(update=vars(self)))


@dataclass(frozen=True)
class Request:
    """What to cut.

    Parameters
    ----------
    window
        In raw's voxels.
    strokes
        Of the window, 1 foreground, 2 background; None: only prepare it.
    boundary
        How it is drawn.
    guess
        What a network predicts, for strokes to correct; None: there are strokes of both kinds.
    """

    window: Roi
    strokes: npt.NDArray[np.uint8] | None
    boundary: Boundary
    guess: Guess | None = None


@dataclass(frozen=True)
class Answer:
    """A cut, None if there was nothing to cut by, and the seconds it took."""

    cut: Cut | None
    seconds: float


class Solver:
    """Answers requests, one at a time; the last windows stay prepared.

    Parameters
    ----------
    volume
        Raw.
    folder
        Of the session, beside which prepared windows are kept.
    """

    def __init__(self, volume: Volume, folder: Path) -> None:
        self._volume, self._folder = volume, folder
        self._regions: dict[Roi, Region] = {}

    def knows(self, window: Roi) -> bool:
        """Whether a window is prepared."""
        return window in self._regions

    def solve(self, request: Request) -> Answer:
        """Return the cut.

        Raises
        ------
        ValueError, OSError
            The window cannot be read or cut.
        """
        with work_lock():
            region = self._region(request.window)
            if request.strokes is None:
                return Answer(None, 0)
            begun = perf_counter()
            guess = request.guess.probability if request.guess else None
            found = cut(request.boundary.of(region), request.strokes, guess)
        return Answer(found, perf_counter() - begun)

    def _region(self, window: Roi) -> Region:
        if window not in self._regions:
            region = prepare_window(self._volume, window, GraphCutConfig(), self._folder)
            while len(self._regions) >= MOST_REGIONS:
                del self._regions[next(iter(self._regions))]
            self._regions[window] = region
        return self._regions[window]


class Cutting:
    """Cuts under way; the answer to the newest request comes to the thread of the screen.

    Parameters
    ----------
    volume, folder
        As `Solver` takes them.
    post
        Has a function called later in the thread of the screen.
    answered
        Is given an answer there, or in one line why there is none.

    Attributes
    ----------
    busy
        Whether an answer is to come.
    """

    def __init__(
        self,
        volume: Volume,
        folder: Path,
        post: Callable[[Callable[[], None]], None],
        answered: Callable[[Answer | str], None],
    ) -> None:
        self._post, self._answered = post, answered
        self._solver = Solver(volume, folder)
        self._cutter = LiveCutter(self._solver.solve, self._come, self._come)
        self._number, self.busy = 0, False

    def knows(self, window: Roi) -> bool:
        """Whether a window is prepared."""
        return self._solver.knows(window)

    def ask(self, request: Request) -> None:
        """Ask for a cut, instead of any that was asked for before."""
        self._number += 1
        self.busy = True
        self._cutter.submit(request, self._number)

    def drop(self) -> None:
        """Want no answer any more."""
        self._number += 1
        self.busy = False
        self._cutter.forget(self._number)

    def close(self) -> None:
        """Take no more requests."""
        self.drop()
        self._cutter.stop()

    def _come(self, number: int, answer: Answer | str) -> None:
        self._post(lambda: self._receive(number, answer))

    def _receive(self, number: int, answer: Answer | str) -> None:
        if number == self._number:
            self.busy = False
            self._answered(answer if isinstance(answer, Answer) else answer.partition("\n")[0])
