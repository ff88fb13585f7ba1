"""Predictions of windows, in a thread of their own: one draws and cuts meanwhile."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

from asem.annotate.annotation import Guess
from asem.annotate.session import Session
from asem.blocks.kernels import work_lock
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows.annotation import guess_window

logger = logging.getLogger(__name__)


class Predicting:
    """One prediction at a time; a new one ends the one before.

    Parameters
    ----------
    volume, session
        Of the desk.
    post
        Has a function called later in the thread of the screen.
    told
        Called there when `share` has changed.

    Attributes
    ----------
    share
        What is done of the prediction under way; None where there is none.
    """

    def __init__(
        self,
        volume: Volume,
        session: Session,
        post: Callable[[Callable[[], None]], None],
        told: Callable[[], None],
    ) -> None:
        self._volume, self._session, self._post, self._told = volume, session, post, told
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="asem-predict")
        self._stopped = Event()
        self.share: float | None = None

    def ask(
        self,
        window: Roi,
        checkpoint: Path,
        done: Callable[[Guess], None],
        failed: Callable[[str], None],
    ) -> None:
        """Predict a window; one of both is called in the thread of the screen, or none if stopped.

        Parameters
        ----------
        window
            In raw's voxels.
        checkpoint
            A run or checkpoint.
        done, failed
            Are given what is predicted, or what went wrong.
        """
        self.stop()
        stopped = self._stopped = Event()
        self.share = 0.0

        def progress(stage: str, part: int, whole: int) -> None:
            if stopped.is_set():
                raise InterruptedError
            if stage == "predict":
                self._post(lambda: self._set(stopped, part / whole))

        def work() -> Guess:
            with work_lock():
                return guess_window(self._volume, window, checkpoint, self._session, progress)

        def end(asked: "Future[Guess]") -> None:
            self._set(stopped, None)
            if stopped.is_set():
                return
            fault = asked.exception()
            if fault is None:
                done(asked.result())
                return
            if not isinstance(fault, ValueError | OSError):
                logger.error("%s was not predicted", window, exc_info=fault)
            failed(str(fault).partition("\n")[0] or type(fault).__name__)

        asked = self._worker.submit(work)
        asked.add_done_callback(lambda asked: self._post(lambda: end(asked)))

    def stop(self) -> None:
        """End what is under way, within a second or so."""
        self._stopped.set()
        self.share = None

    def close(self) -> None:
        """Stop, and wait for it: nothing is written afterwards."""
        self.stop()
        self._worker.shutdown(wait=True, cancel_futures=True)

    def _set(self, stopped: Event, share: float | None) -> None:
        if not stopped.is_set():
            self.share = share
            self._told()
