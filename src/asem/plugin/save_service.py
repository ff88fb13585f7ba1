"""Write accepted windows as labels in a worker thread."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from asem.annotate.session import AnnotationSession
from asem.blocks.kernel_locks import workqueue_lock
from asem.plugin.gui_thread import CallInGuiThread, deliver_result
from asem.structures import PRESETS
from asem.volume.volume import Volume
from asem.workflows.annotation import save_labels


class SaveService:
    """Writes the accepted windows of a structure as a label image; requests run one by one.

    Parameters
    ----------
    volume, session
        Of the annotation model.
    call_in_gui_thread
        Schedules a function in the GUI thread.
    set_status
        Called there with the outcome.
    """

    def __init__(
        self,
        volume: Volume,
        session: AnnotationSession,
        *,
        call_in_gui_thread: CallInGuiThread,
        set_status: Callable[[str], None],
    ) -> None:
        self._volume, self._session = volume, session
        self._call_in_gui_thread, self._set_status = call_in_gui_thread, set_status
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="asem-save")

    def submit(
        self, structure: str, destination: Path, *, apply_preset: bool, overwrite: bool
    ) -> "Future[Volume]":
        """Write the accepted windows of a structure; `apply_preset` cleans and dilates them."""
        preset = PRESETS.get(structure) if apply_preset else None
        deliver = partial(
            deliver_result,
            on_result=lambda _: self._set_status(f"saved to {'/'.join(destination.parts[-3:])}"),
            on_error=lambda error: self._set_status(f"not saved: {error}"),
        )

        def save() -> Volume:
            with workqueue_lock():
                return save_labels(
                    self._volume,
                    self._session,
                    structure,
                    destination,
                    preset=preset,
                    overwrite=overwrite,
                )

        future = self._executor.submit(save)
        future.add_done_callback(lambda done: self._call_in_gui_thread(partial(deliver, done)))
        return future

    def close(self) -> None:
        """Finish all requests."""
        self._executor.shutdown(wait=True)
