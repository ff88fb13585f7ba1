"""What the worker thread does: prepare the window and predict it, once, and cut it by strokes."""

from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from asem.annotate.energy import Cut
from asem.annotate.graphcut import GraphCutConfig, Region, cut
from asem.annotate.membranes import MembraneRegion
from asem.annotate.session import Session
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows.annotation import guess_window, prepare_window

MOST_REGIONS = 2
"""Prepared and kept in memory."""


@dataclass(frozen=True)
class Request:
    """What to cut.

    Parameters
    ----------
    window
        In raw's voxels.
    strokes
        Of the window, 1 foreground, 2 background; None: only prepare it.
    smoothing_nm
        Of the boundary.
    checkpoint
        Of a network whose prediction the strokes correct; None: there are strokes of both kinds.
    """

    window: Roi
    strokes: npt.NDArray[np.uint8] | None
    smoothing_nm: float
    checkpoint: Path | None = None


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
    session
        Beside which prepared windows are kept.
    """

    def __init__(self, volume: Volume, session: Session) -> None:
        self._volume, self._session = volume, session
        self._regions: dict[Roi, Region] = {}
        self._guess: tuple[Roi, Path, npt.NDArray[np.uint8]] | None = None

    def forget_guess(self) -> None:
        """Predict anew next time: the network may have learnt more."""
        self._guess = None

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
        region = self._region(request.window)
        if request.strokes is None:
            return Answer(None, 0)
        guess = self._predicted(request.window, request.checkpoint)
        begun = perf_counter()
        found = cut(smoothed(region, request.smoothing_nm), request.strokes, guess)
        return Answer(found, perf_counter() - begun)

    def _predicted(self, window: Roi, checkpoint: Path | None) -> npt.NDArray[np.uint8] | None:
        if checkpoint is None:
            return None
        if self._guess is None or self._guess[:2] != (window, checkpoint):
            guess = guess_window(self._volume, window, checkpoint, self._session)
            self._guess = window, checkpoint, guess
        return self._guess[2]

    def _region(self, window: Roi) -> Region:
        if window not in self._regions:
            region = prepare_window(self._volume, window, GraphCutConfig(), self._session)
            while len(self._regions) >= MOST_REGIONS:
                del self._regions[next(iter(self._regions))]
            self._regions[window] = region
        return self._regions[window]


def smoothed(region: Region, smoothing_nm: float) -> Region:
    """Return the region with another smoothing of its boundary; the paper's energy has none."""
    if not isinstance(region, MembraneRegion):
        return region
    config = region.config.model_copy(update={"smoothing_nm": smoothing_nm})
    return replace(region, config=config)
