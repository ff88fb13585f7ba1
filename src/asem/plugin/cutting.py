"""What the worker thread does: prepare a window, once, and cut it by strokes."""

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
