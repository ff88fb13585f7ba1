"""Absurd numbers, and limits of the memory and time of a process that gets them."""

import resource
import signal
import types
import typing
from contextlib import contextmanager
from pathlib import Path

import matplotlib.font_manager  # noqa: F401 (fonts it cannot read within a limit miss in its cache)
from pydantic import BaseModel

NUMBERS = (
    "0", "-1", "-0.0", "1e-300", "1e300", "nan", "inf", "-inf", str(10**9), str(2**31),
    str(2**63), "9" * 400, "9" * 5000, "1e400", "", " ", "1,2", "0x10", "1_000", "\u0663",
    "x" * 10_000,
)  # fmt: skip
TRIPLES = (
    *NUMBERS, "5,5", "0,0,0", "-1,5,5", "5,nan,5", "5,5,inf", "1e300,5,5", "1e-300,5,5",
    "1e300,1e300,1e300", "1e-300,1e-300,1e-300", "9" * 400 + ",5,5", "5," * 5000, "5,5,5,5",
)  # fmt: skip
BOXES = (
    *NUMBERS, "5:1,:,:", ":,:", "::2,:,:", ":,:,:,:", "-1:,:,:", f":,:{10**30},:", f"{2**63}:,:,:",
    f"0:{'9' * 400},:,:", ":," * 5000, " " * 100_000, "0:1e3,:,:", "0:nan,:,:", "0:0,:,:",
    "\u0660:\u0661,:,:",
)  # fmt: skip
MOST_BYTES = 4 * 2**30
SECONDS = 20
LONGEST_LINE = 400


@contextmanager
def bounded(most_bytes=MOST_BYTES):
    """Let the body take so much more memory and so much time, or raise MemoryError, TimeoutError.

    That is for code that would never end; how long it takes says nothing.
    """

    def stop(number, frame):
        raise TimeoutError

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)


def is_number(annotation):
    """Whether a field takes numbers, or some of them."""
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated, tuple):
        return any(is_number(part) for part in parts)
    return annotation in (int, float)


def tables_in(annotation):
    """Yield the settings that a field holds, or a list of them."""
    for part in (annotation, *typing.get_args(annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            yield part, typing.get_origin(annotation) is tuple
        elif part is not annotation:
            yield from tables_in(part)


def fields_of(cls, before=()):
    """Yield where each number stands: the names of tables and of the field, and if it is three."""
    for name, field in cls.model_fields.items():
        if is_number(field.annotation):
            yield (*before, name), "uple" in str(field.annotation)
        for table, many in tables_in(field.annotation):
            yield from fields_of(table, (*before, name, 0) if many else (*before, name))
