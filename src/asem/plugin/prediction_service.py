"""Prediction of a window in a worker thread; drawing and cutting continue."""

from collections.abc import Callable
from pathlib import Path
from threading import Event

from asem.annotate.session import AnnotationSession
from asem.annotate.structure_annotation import StructureAnnotation
from asem.annotate.window_files import PriorPrediction
from asem.blocks.kernel_locks import workqueue_lock
from asem.plugin.gui_thread import CallInGuiThread, first_line_of
from asem.plugin.latest_only_worker import LatestOnlyWorker
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows.annotation import predict_window


class PredictionService:
    """Predicts one window at a time; a new request cancels the previous one.

    Parameters
    ----------
    volume, session
        Of the annotation model.
    call_in_gui_thread
        Schedules a function in the GUI thread.
    on_progress
        Called there when `fraction_done` changes.
    """

    def __init__(
        self,
        volume: Volume,
        session: AnnotationSession,
        *,
        call_in_gui_thread: CallInGuiThread,
        on_progress: Callable[[], None],
    ) -> None:
        self._volume, self._session = volume, session
        self._call_in_gui_thread, self._on_progress = call_in_gui_thread, on_progress
        self._worker = LatestOnlyWorker("asem-predict", call_in_gui_thread)
        self._cancelled = Event()
        self._fraction_done = 0.0

    @property
    def fraction_done(self) -> float | None:
        """Finished part of the running prediction; None if none is running."""
        return self._fraction_done if self._worker.is_busy else None

    def submit(
        self,
        annotation: StructureAnnotation,
        window: Roi,
        checkpoint: Path,
        *,
        on_result: Callable[[PriorPrediction], None],
        on_error: Callable[[str], None],
    ) -> None:
        """Predict a window and store the prediction.

        Parameters
        ----------
        annotation
            Stores the prediction.
        window
            Voxels of raw.
        checkpoint
            A run folder or checkpoint.
        on_result, on_error
            Called in the GUI thread with the stored prediction, or with the status after an error;
            neither is called if the prediction is cancelled.
        """
        self.cancel()
        cancelled = self._cancelled = Event()
        self._fraction_done = 0.0

        def report_progress(stage: str, done: int, total: int) -> None:
            if cancelled.is_set():
                raise InterruptedError
            if stage == "predict":
                self._call_in_gui_thread(lambda: self._set_fraction_done(cancelled, done / total))

        def predict() -> PriorPrediction:
            with workqueue_lock():
                return predict_window(
                    self._volume, window, checkpoint, self._session, report_progress
                )

        def store(prediction: PriorPrediction) -> None:
            try:
                annotation.store_prediction(window, prediction)
            except (ValueError, OSError) as error:
                on_error(f"prediction not saved: {first_line_of(error)}")
            else:
                on_result(prediction)

        self._worker.submit(predict, store, lambda error: on_error(f"prediction failed: {error}"))

    def cancel(self) -> None:
        """Cancel the running prediction; it ends at its next progress report."""
        self._cancelled.set()
        self._worker.cancel()

    def close(self) -> None:
        """Cancel and block until the prediction has ended: nothing is written afterwards."""
        self._cancelled.set()
        self._worker.close(wait=True)

    def _set_fraction_done(self, cancelled: Event, fraction: float) -> None:
        if not cancelled.is_set():
            self._fraction_done = fraction
            self._on_progress()
