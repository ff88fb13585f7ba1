"""Write training metrics to a TensorBoard event file, without a background thread.

TensorBoard's own writer raises errors (a full disk) in its thread: it prints a traceback, and the
error reappears later in an unrelated call. Here they are warnings: `run.json` contains all metrics,
and the training continues.
"""

import itertools
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

LOG = logging.getLogger(__name__)
EVENT_FILE_VERSION = "brain.Event:2"
EVENT_FILE_PREFIX = "events.out.tfevents"
_FILE_COUNTER = itertools.count()


class TensorBoardWriter:
    """Writes an event file; after an error it logs a warning and writes no more.

    Parameters
    ----------
    folder
        Folder of the file.
    purge_step
        TensorBoard discards this and later steps of earlier files; None: no step.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        host, counter = socket.gethostname(), next(_FILE_COUNTER)
        self.path = (
            folder / f"{EVENT_FILE_PREFIX}.{int(time.time()):010d}.{host}.{os.getpid()}.{counter}"
        )
        self._file: IO[bytes] | None = None
        self._end = 0
        with self._warn_on_write_error():
            self._file = self.path.open("xb")
            first: list[dict[str, Any]] = [{"file_version": EVENT_FILE_VERSION}]
            if purge_step is not None:
                start = SessionLog(status=SessionLog.START)
                first.append({"step": purge_step, "session_log": start})
            self._write_events(*first)

    def add_scalars(self, values: Mapping[str, float], step: int) -> None:
        """Add the values of one step."""
        scalars = [Summary.Value(tag=key, simple_value=value) for key, value in values.items()]
        with self._warn_on_write_error():
            self._write_events({"step": step, "summary": Summary(value=scalars)})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with self._warn_on_write_error():
                self._file.close()

    def _write_events(self, *events: dict[str, Any]) -> None:
        """Write whole events; remove a partly written one after an error."""
        file = self._file
        if file is None:
            return
        try:
            for event in events:
                message = Event(wall_time=time.time(), **event)
                RecordWriter(file).write(message.SerializeToString())
            file.flush()
            self._end = file.tell()
        except OSError:
            self._file = None  # readers stop at an incomplete event
            os.truncate(self.path, self._end)
            raise

    @contextmanager
    def _warn_on_write_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            LOG.warning(
                "%s cannot be written: %s; TensorBoard will lack later metrics", self.path, error
            )
