"""The metrics of a training as an event file of TensorBoard, written without a thread.

TensorBoard's own writer has one, whose faults (a full disk) appear as a traceback, and later
somewhere else. Here a fault is a warning: `run.json` has all metrics, and the training continues.
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
VERSION = "brain.Event:2"
PREFIX = "events.out.tfevents"
_NUMBERS = itertools.count()


class EventFile:
    """An event file; what cannot be written is left out of it, with a warning.

    Parameters
    ----------
    folder
        Where TensorBoard looks for it.
    purge_step
        What earlier files have of this and later steps is void; None: nothing is.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        host, number = socket.gethostname(), next(_NUMBERS)
        self.path = folder / f"{PREFIX}.{int(time.time()):010d}.{host}.{os.getpid()}.{number}"
        self._file: IO[bytes] | None = None
        self._end = 0
        with self._forgiving():
            self._file = self.path.open("xb")
            first: list[dict[str, Any]] = [{"file_version": VERSION}]
            if purge_step is not None:
                start = SessionLog(status=SessionLog.START)
                first.append({"step": purge_step, "session_log": start})
            self._append(*first)

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Add the values of one step."""
        scalars = [Summary.Value(tag=key, simple_value=value) for key, value in values.items()]
        with self._forgiving():
            self._append({"step": step, "summary": Summary(value=scalars)})

    def close(self) -> None:
        """Close it."""
        if self._file is not None:
            with self._forgiving():
                self._file.close()

    def _append(self, *events: dict[str, Any]) -> None:
        """Write whole events; nothing is left of one that cannot be written."""
        file = self._file
        if file is None:
            return
        try:
            for event in events:
                made = Event(wall_time=time.time(), **event)
                RecordWriter(file).write(made.SerializeToString())
            file.flush()
            self._end = file.tell()
        except OSError:
            self._file = None  # a reader stops at half an event
            os.truncate(self.path, self._end)
            raise

    @contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            LOG.warning(
                "%s cannot be written: %s; TensorBoard will lack what follows", self.path, error
            )
