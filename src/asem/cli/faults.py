"""What a command prints when it fails: one line; for faults of asem itself a report file, too.

::

    ValueError, OSError        its message: the input, the settings or the disk are the cause
    MemoryError, out of memory of a GPU        what takes less
    any other Exception        a fault of asem: its kind, and where the report about it lies
"""

import platform
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
from asem.cli.streams import printable
from asem.system.files import write_private

PACKAGES = (
    "numpy", "tensorstore", "tifffile", "pydantic", "numba", "torch", "distributed", "napari",
)  # fmt: skip
"""Whose versions a report names."""
MOST_FRAMES = 100
"""Calls that a report lists, the last ones."""
MOST_LETTERS = 300
"""Of a reason in a line."""
NO_MEMORY = ("failed to map segment", "cannot allocate memory")
"""What the loader of shared libraries reports where memory is short; in lower case."""
LINK_LOOP = "Symlink loop from "
"""How `Path.resolve` begins a RuntimeError."""
SMALLER = "close other programs, or take a smaller --tile, a smaller --roi or fewer --workers"


def line_of(error: Exception, words: Sequence[str]) -> str:
    """Return the line about an error that no part of asem expects; writes a report where due.

    Parameters
    ----------
    error
        What was raised.
    words
        Those of the command.
    """
    reason = _first_line(error)
    if _is_out_of_memory(error):
        return f"out of memory ({reason or type(error).__name__}); {SMALLER}"
    if (library := unmapped_library(error)) is not None:
        return f"out of memory ({library}); {SMALLER}"
    if reason.startswith(LINK_LOOP):
        return f"{reason}; remove the link"
    kind = "something is nested too deeply" if isinstance(error, RecursionError) else reason
    what = type(error).__name__ + (f": {kind}" if kind else "")
    try:
        where = f"the report is {_write_report(error, words)}"
    except OSError as fault:
        where = f"no report could be written ({fault}), give -v to see where"
    return f"{what}; this is a fault of asem, please report it ({where})"


def traceback_of(error: BaseException) -> str:
    """Return the last calls that led to an error, without any value of a variable."""
    found = traceback.TracebackException.from_exception(error, limit=-MOST_FRAMES, compact=True)
    return "".join(printable(line) for line in found.format())


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return lines[0] if len(lines[0]) <= MOST_LETTERS else f"{lines[0][:MOST_LETTERS]}..."


def _is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; PyTorch is asked only where it is loaded."""
    device = sys.modules.get("asem.model.device")
    return isinstance(error, MemoryError) or bool(device and device.is_out_of_memory(error))


def unmapped_library(error: BaseException | None) -> str | None:
    """Return the line about a shared library for which memory is short; None: it is not that."""
    while error is not None:
        if isinstance(error, ImportError | OSError):
            for line in str(error).splitlines():
                if any(sign in line.lower() for sign in NO_MEMORY):
                    return line.strip()[:MOST_LETTERS]
        error = error.__cause__ or error.__context__
    return None


def _write_report(error: Exception, words: Sequence[str]) -> Path:
    """Write a report into the working folder, or where that is not possible among temporary files.

    Its name is new and only its owner can read it: it names files.
    """
    text = "\n".join(_report(error, words))
    name = f"asem-fault-{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}.txt"
    path = Path.cwd() / name
    try:
        write_private(path, text)
    except OSError:
        path = Path(tempfile.gettempdir()) / name
        write_private(path, text)
    return path


def _report(error: Exception, words: Sequence[str]) -> Iterator[str]:
    yield "A fault of asem. Please report it with this text; remove what is confidential first."
    yield ""
    yield f"command   {printable(shlex.join(['asem', *words]))}"
    yield f"asem      {__version__}"
    yield f"Python    {sys.version.split()[0]} on {platform.platform()}"
    for name in PACKAGES:
        try:
            yield f"{name:<10}{version(name)}"
        except PackageNotFoundError:
            continue
    yield ""
    yield traceback_of(error)
