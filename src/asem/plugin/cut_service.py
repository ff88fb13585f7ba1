"""Graph cut in a worker thread: prepare each window once, cut it again after each stroke."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from asem.annotate.energy import Cut
from asem.annotate.graphcut import GraphCutConfig, cut_region
from asem.annotate.membrane_energy import MembraneConfig
from asem.annotate.prepared_region import PreparedRegion
from asem.annotate.window_files import PriorPrediction
from asem.blocks.kernel_locks import workqueue_lock
from asem.plugin.gui_thread import CallInGuiThread
from asem.plugin.latest_only_worker import LatestOnlyWorker
from asem.plugin.status_text import missing_strokes_text
from asem.plugin.window_state import WindowState
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows.annotation import prepare_window

MAX_PREPARED_WINDOWS = 2
"""Prepared windows in memory."""


@dataclass(frozen=True)
class BoundaryOptions:
    """Smoothing and threshold of the boundary of a cut; the paper's energy ignores them.

    Parameters
    ----------
    smoothing_nm, threshold
        As in `MembraneConfig`.
    """

    smoothing_nm: float = MembraneConfig().smoothing_nm
    threshold: float = MembraneConfig().threshold

    def apply_to(self, region: PreparedRegion) -> PreparedRegion:
        """Return a region that is cut with it."""
        return region.with_boundary(**asdict(self))


@dataclass(frozen=True)
class CutRequest:
    """Input of one cut.

    Parameters
    ----------
    window
        Voxels of raw.
    strokes
        Of the window, 1 foreground, 2 background; None: only prepare the window.
    boundary_options
        Smoothing and threshold.
    prediction
        Prediction that strokes correct; None: `strokes` contains both labels.
    """

    window: Roi
    strokes: npt.NDArray[np.uint8] | None
    boundary_options: BoundaryOptions
    prediction: PriorPrediction | None = None


@dataclass(frozen=True)
class CutResult:
    """A cut, None if the window was only prepared, and its duration in s."""

    cut: Cut | None
    duration_s: float


class CutSolver:
    """Solves requests one at a time; the last windows stay prepared.

    Parameters
    ----------
    volume
        Raw.
    folder
        Of the session; prepared windows are cached in it.
    """

    def __init__(self, volume: Volume, folder: Path) -> None:
        self._volume, self._folder = volume, folder
        self._prepared: dict[Roi, PreparedRegion] = {}

    def is_prepared(self, window: Roi) -> bool:
        """Return whether a window is prepared."""
        return window in self._prepared

    def solve(self, request: CutRequest) -> CutResult:
        """Return the cut.

        Raises
        ------
        ValueError, OSError
            The window cannot be read or cut.
        """
        with workqueue_lock():
            region = self._prepare(request.window)
            if request.strokes is None:
                return CutResult(None, 0)
            start = perf_counter()
            prior = request.prediction.probability if request.prediction else None
            cut = cut_region(request.boundary_options.apply_to(region), request.strokes, prior)
        return CutResult(cut, perf_counter() - start)

    def _prepare(self, window: Roi) -> PreparedRegion:
        if window not in self._prepared:
            region = prepare_window(self._volume, window, GraphCutConfig(), self._folder)
            while len(self._prepared) >= MAX_PREPARED_WINDOWS:
                del self._prepared[next(iter(self._prepared))]
            self._prepared[window] = region
        return self._prepared[window]


class CutService:
    """Cuts the current window in a worker thread; delivers the newest cut in the GUI thread.

    Parameters
    ----------
    volume, folder
        As in `CutSolver`.
    call_in_gui_thread
        Schedules a function in the GUI thread.
    on_cut
        Called there after the cut of a window was replaced.
    set_status
        Called there with what is done, or why it failed.
    """

    def __init__(
        self,
        volume: Volume,
        folder: Path,
        *,
        call_in_gui_thread: CallInGuiThread,
        on_cut: Callable[[], None],
        set_status: Callable[[str], None],
    ) -> None:
        self._on_cut, self._set_status = on_cut, set_status
        self._solver = CutSolver(volume, folder)
        self._worker = LatestOnlyWorker("asem-cut", call_in_gui_thread)

    @property
    def is_busy(self) -> bool:
        """Whether a result is still to be delivered."""
        return self._worker.is_busy

    def submit(self, state: WindowState, boundary_options: BoundaryOptions) -> None:
        """Prepare and cut a window from its strokes; replaces a running cut."""
        state.is_cut_outdated = False
        missing = missing_strokes_text(state)
        is_prepared = self._solver.is_prepared(state.window)
        if missing and is_prepared:
            self.cancel()
            self._replace_cut(state, None)
            self._set_status(missing)
            return
        strokes = None if missing else state.strokes.copy()
        request = CutRequest(state.window, strokes, boundary_options, state.prediction)

        def receive(result: CutResult) -> None:
            if result.cut is None:
                self.submit(state, boundary_options)  # the window is prepared now
            else:
                self._replace_cut(state, result.cut)
                self._set_status(f"cut in {result.duration_s:.1f} s")

        def receive_error(error: str) -> None:
            self._replace_cut(state, None)
            self._set_status(f"cut failed: {error}")

        self._worker.submit(partial(self._solver.solve, request), receive, receive_error)
        preparing = "preparing this window (first time only, a few seconds)..."
        self._set_status("cutting..." if is_prepared else preparing)

    def cancel(self) -> None:
        """Drop the current request."""
        self._worker.cancel()

    def close(self) -> None:
        """Drop the current request and end the thread."""
        self._worker.close()

    def _replace_cut(self, state: WindowState, cut: Cut | None) -> None:
        state.set_cut(cut)
        self._on_cut()
