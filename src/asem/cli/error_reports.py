"""The error line of a failed command, and a report file for internal errors.

::

    ValueError, OSError        its message: caused by the input, the settings or the disk
    MemoryError, out of GPU memory        advice how to use less memory
    any other Exception        an internal error of asem: its type, and the path of the report
"""

import os
import platform
import re
import shlex
import sys
import tempfile
import traceback
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from asem import __version__
from asem.cli.streams import escape_control_characters
from asem.config import shorten
from asem.system.files import write_private_file

REPORTED_PACKAGES = (
    "numpy", "tensorstore", "tifffile", "pydantic", "numba", "torch", "distributed", "napari",
)  # fmt: skip
"""Packages whose versions a report lists."""
MAX_TRACEBACK_FRAMES = 100
"""Number of calls in a report, the last ones."""
MAX_REASON_CHARACTERS = 300
"""Length of the reason in an error line."""
OUT_OF_MEMORY_MESSAGES = ("failed to map segment", "cannot allocate memory")
"""Messages of the loader of shared libraries when memory runs out; in lower case."""
SYMLINK_LOOP_PREFIX = "Symlink loop from "
"""Start of the message of a RuntimeError of `Path.resolve`."""
COMMA_OPTIONS = {"--voxel-size": 3, "--offset-nm": 3, "--roi": 3, "--window": 2}
"""Options whose value is one word of so many parts with commas between them."""
PART_PATTERN = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?|\d*:\d*")
"""A part of such a value: a number, or a range of voxels."""
OUT_OF_MEMORY_ADVICE = (
    "close other programs, or take a smaller --tile, a smaller --roi or fewer --workers"
)


def error_line(error: Exception, arguments: Sequence[str]) -> str:
    """Return the line for an unexpected error; write a report of internal errors.

    Parameters
    ----------
    error
        The exception.
    arguments
        Arguments of the command.
    """
    reason = _first_line(error)
    if _is_out_of_memory(error):
        return f"out of memory ({reason or type(error).__name__}); {OUT_OF_MEMORY_ADVICE}"
    if (library := find_library_memory_error(error)) is not None:
        return f"out of memory ({library}); {OUT_OF_MEMORY_ADVICE}"
    if reason.startswith(SYMLINK_LOOP_PREFIX):
        return f"{reason}; remove the link"
    kind = "something is nested too deeply" if isinstance(error, RecursionError) else reason
    what = type(error).__name__ + (f": {kind}" if kind else "")
    try:
        where = f"the report is {_write_report(error, arguments)}"
    except OSError as write_error:
        where = f"no report could be written ({write_error}); add -v for a traceback"
    return f"{what}; this is an internal error of asem, please report it ({where})"


def format_input_error(error: ValueError | OSError) -> str:
    """Return the message of an error that an input caused; without the number of an OSError."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def find_comma_advice(arguments: Sequence[str]) -> str | None:
    """Return how to write an option that was given several words instead of one with commas.

    Examples
    --------
    >>> find_comma_advice(["import", "a", "b", "--voxel-size", "8", "4", "4"])
    '--voxel-size 8 4 4: write one word with commas, --voxel-size 8,4,4'
    >>> find_comma_advice(["import", "a", "b", "--voxel-size", "8,4,4"])
    """
    for start, option in enumerate(arguments):
        parts = [
            word.rstrip(",")
            for word in arguments[start + 1 : start + 1 + COMMA_OPTIONS.get(option, 0)]
        ]
        if len(parts) > 1 and all(map(PART_PATTERN.fullmatch, parts)):
            given = shorten(" ".join(parts), str)
            return (
                f"{option} {given}: write one word with commas, "
                f"{option} {shorten(','.join(parts), str)}"
            )
    return None


def format_traceback(error: BaseException) -> str:
    """Return the last calls that led to an error, without any value of a variable."""
    found = traceback.TracebackException.from_exception(
        error, limit=-MAX_TRACEBACK_FRAMES, compact=True
    )
    return "".join(escape_control_characters(line) for line in found.format())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return (
        lines[0]
        if len(lines[0]) <= MAX_REASON_CHARACTERS
        else f"{lines[0][:MAX_REASON_CHARACTERS]}..."
    )


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out; PyTorch is checked only if it is loaded."""
    device = sys.modules.get("asem.model.device")
    return isinstance(error, MemoryError) or bool(device and device.is_out_of_memory(error))


def find_library_memory_error(error: BaseException | None) -> str | None:
    """Return the message of a shared library that memory was too small to load, or None."""
    while error is not None:
        if isinstance(error, ImportError | OSError):
            for line in str(error).splitlines():
                if any(sign in line.lower() for sign in OUT_OF_MEMORY_MESSAGES):
                    return line.strip()[:MAX_REASON_CHARACTERS]
        error = error.__cause__ or error.__context__
    return None


def _write_report(error: Exception, arguments: Sequence[str]) -> Path:
    """Write a report into the working folder, or else into the folder of temporary files.

    The file is new, and only its owner can read it, because it contains file names.
    """
    text = "\n".join(_report_lines(error, arguments))
    name = f"asem-error-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}.txt"
    try:
        path = Path.cwd() / name
        write_private_file(path, text)
    except OSError:
        path = Path(tempfile.gettempdir()) / name
        write_private_file(path, text)
    return path


def _report_lines(error: Exception, arguments: Sequence[str]) -> Iterator[str]:
    yield "An internal error of asem. Please report it with this text, without confidential parts."
    yield ""
    yield f"command   {escape_control_characters(shlex.join(['asem', *arguments]))}"
    yield f"asem      {__version__}"
    yield f"Python    {sys.version.split()[0]} on {platform.platform()}"
    for name in REPORTED_PACKAGES:
        try:
            yield f"{name:<10}{version(name)}"
        except PackageNotFoundError:
            continue
    yield ""
    yield format_traceback(error)
