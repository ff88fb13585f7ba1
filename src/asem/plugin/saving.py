"""Saving labels in a thread, so that one can go on drawing."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from asem.annotate.session import Session
from asem.blocks.kernels import work_lock
from asem.structures import STRUCTURES
from asem.volume.volume import Volume
from asem.workflows.annotation import save_labels


class Saving:
    """Writes accepted windows as labels, one image after the other.

    Parameters
    ----------
    volume, session
        Of the desk.
    post
        Has a function called later in the thread of the screen.
    say
        Is told there how it ended.
    """

    def __init__(
        self,
        volume: Volume,
        session: Session,
        post: Callable[[Callable[[], None]], None],
        say: Callable[[str], None],
    ) -> None:
        self._volume, self._session, self._post, self._say = volume, session, post, say
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="asem-save")

    def save(
        self, structure: str, destination: Path, *, preset: bool, overwrite: bool
    ) -> "Future[Volume]":
        """Write the accepted windows of a structure; `preset` cleans and widens them."""
        cleaning = STRUCTURES.get(structure) if preset else None

        def work() -> Volume:
            with work_lock():
                return save_labels(
                    self._volume,
                    self._session,
                    structure,
                    destination,
                    preset=cleaning,
                    overwrite=overwrite,
                )

        saved = self._worker.submit(work)
        saved.add_done_callback(lambda done: self._post(lambda: self._saved(destination, done)))
        return saved

    def close(self) -> None:
        """Finish what was begun."""
        self._worker.shutdown(wait=True)

    def _saved(self, destination: Path, done: "Future[Volume]") -> None:
        fault = done.exception()
        where = "/".join(destination.parts[-3:])
        self._say(f"saved as {where}" if fault is None else f"not saved: {fault}")
