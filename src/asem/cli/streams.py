"""Standard output and error streams that never raise: closed, broken, full, not UTF-8.

::

    asem info raw >&-            closed: the output is dropped
    asem info raw | head -0      broken: the output is dropped
    asem info raw > /dev/full    not writable: one message on stderr
"""

import errno
import io
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

STREAM_NAMES = {1: "stdout", 2: "stderr"}
CLOSED_STREAM_ERRNOS = frozenset({errno.EPIPE, errno.EBADF})
"""Errors after the reader closed the stream; no message is printed."""
CONTROL_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction of text
    "\u200b\u2028\u2029\ufeff\U000e0000-\U000e007f"  # without a glyph of their own
    "\ud800-\udfff]"  # bytes of a path that are not UTF-8
)
"""Characters that control a terminal, or hide or reorder its text."""


def escape_control_characters(text: str) -> str:
    r"""Return text with the characters of `CONTROL_CHARACTERS` as escapes; for all that is printed.

    Names and contents of files are not trusted.

    Examples
    --------
    >>> escape_control_characters("cell\x1b[2J\u202e.zarr, 5 µm")
    'cell\\x1b[2J\\u202e.zarr, 5 µm'
    """
    return CONTROL_CHARACTERS.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    letter, digits = ("x", 2) if code < 2**8 else ("u", 4) if code < 2**16 else ("U", 8)
    return f"\\{letter}{code:0{digits}x}"


class PrintableFormatter(logging.Formatter):
    """Format a log message for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message with control characters escaped."""
        return escape_control_characters(super().format(record))


@contextmanager
def tolerate_stream_errors() -> Iterator[None]:
    """Ignore errors of printing within the block; report errors of stdout on stderr."""
    open_missing_descriptors()
    before = sys.stdout, sys.stderr
    output, errors = (TolerantStream(stream, name) for stream, name in _standard_streams())
    sys.stdout, sys.stderr = output, errors
    try:
        yield
    finally:
        output.flush()
        if output.write_error is not None:
            errors.write(f"asem: the output could not be printed: {output.write_error}\n")
        errors.flush()
        sys.stdout, sys.stderr = before


def open_missing_descriptors() -> None:
    """Open ``/dev/null`` where the process was started without stdin, stdout or stderr.

    The next files that are opened would get their numbers, and what is printed would be written
    into data.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)


def _standard_streams() -> Iterator[tuple[TextIO, str]]:
    """Return stdout and stderr; those that Python found closed print nowhere."""
    for name in STREAM_NAMES.values():
        stream = getattr(sys, name)
        yield io.StringIO() if stream is None or stream.closed else stream, name


class TolerantStream(io.TextIOBase):
    """A text stream that drops what cannot be written.

    Parameters
    ----------
    stream
        What is written to.
    name
        ``"stdout"`` or ``"stderr"``.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name
        self.write_error: OSError | None = None
        """Why the stream is not written any more, where its reader did not close it."""

    def write(self, text: str) -> int:
        """Write what can be; characters that the encoding lacks are written as escapes."""
        with self._ignore_write_errors():
            try:
                self._stream.write(text)
            except UnicodeEncodeError:
                encoding = self._stream.encoding
                self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush."""
        with self._ignore_write_errors():
            self._stream.flush()

    @contextmanager
    def _ignore_write_errors(self) -> Iterator[None]:
        """Drop what follows, also what Python flushes in the end, once the stream has failed."""
        try:
            yield
        except OSError as error:
            if error.errno not in CLOSED_STREAM_ERRNOS:
                self.write_error = error
            with suppress(OSError, io.UnsupportedOperation):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
        except ValueError:  # it was closed
            self._stream = io.StringIO()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return self._stream.encoding or "utf-8"

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """Of the stream."""
        return self._stream.errors

    def fileno(self) -> int:
        """Return the number of the stream's file."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def writable(self) -> bool:
        """Return True."""
        return True
