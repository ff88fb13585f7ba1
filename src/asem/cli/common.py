"""What the verbs share: options, progress, printing."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from asem.cli.streams import printable
from asem.config import FARTHEST_NM, LARGEST_VOXEL_NM, SMALLEST_VOXEL_NM, Nm3, excerpt

if TYPE_CHECKING:
    from asem.blocks.executors import Executor

Signed = Annotated[str | None, Parameter(allow_leading_hyphen=True)]
Flag = Annotated[bool, Parameter(negative="")]
PLAIN_SECONDS = 10.0
"""Time between two lines of progress where stderr is no terminal."""


@Parameter(name="*")
@dataclass(frozen=True)
class Shown:
    """What a command says.

    Parameters
    ----------
    json
        Print the result as JSON.
    verbose
        Say what is going on.
    """

    json: Flag = False
    verbose: Annotated[bool, Parameter(name=["--verbose", "-v"], negative="")] = False


@Parameter(name="*")
@dataclass(frozen=True)
class Workers:
    """Who computes the blocks; without these, this process does, on all cores.

    Parameters
    ----------
    workers
        Share the work among so many Dask workers on this machine.
    scheduler
        Use the workers of a running Dask scheduler (tls://host:8786), or the batch jobs that a TOML
        file describes (docs/cluster.md).
    """

    workers: int | None = None
    scheduler: str | None = None


PLAIN, HERE = Shown(), Workers()


@contextmanager
def executing(workers: Workers) -> "Iterator[Executor]":
    """Open who computes, and say where to watch."""
    from asem.blocks.executors import open_executor

    with open_executor(workers.workers, workers.scheduler) as executor:
        page = getattr(executor, "dashboard", None)
        if page is not None:
            sys.stderr.write(printable(f"watch the workers at {page}\n"))
        yield executor


def triple(text: str, option: str) -> Nm3:
    """Read ``z,y,x`` or one number for all three axes.

    Raises
    ------
    ValueError
        It is neither; the message names `option`.
    """
    parts = text.split(",")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not all(math.isfinite(number) for number in numbers):
        given = excerpt(text, str)
        raise ValueError(f"{option} {given}: write three numbers in nm, z,y,x, or one for all axes")
    return numbers[0], numbers[1], numbers[2]


def voxel_size_of(text: str) -> Nm3:
    """Read ``--voxel-size``: as `triple`, each a length that a voxel can have."""
    size = triple(text, "--voxel-size")
    if not SMALLEST_VOXEL_NM <= min(size) <= max(size) <= LARGEST_VOXEL_NM:
        raise ValueError(
            f"--voxel-size {excerpt(text, str)}: the edges of a voxel must be positive, "
            f"{SMALLEST_VOXEL_NM:g} to {LARGEST_VOXEL_NM:g} nm"
        )
    return size


def offset_of(text: str) -> Nm3:
    """Read ``--offset-nm``: as `triple`, each within `FARTHEST_NM`."""
    offset = triple(text, "--offset-nm")
    if max(map(abs, offset)) > FARTHEST_NM:
        raise ValueError(
            f"--offset-nm {excerpt(text, str)}: positions are within {FARTHEST_NM:g} nm of the "
            "origin"
        )
    return offset


def show(result: dict[str, Any], *, as_json: bool) -> None:
    """Print a result on stdout: JSON, or a table for people."""
    if as_json:
        sys.stdout.write(json_text(result) + "\n")
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    for key, value in result.items():
        words = value if isinstance(value, str) else json_text(value)
        table.add_row(Text(printable(key)), Text(printable(words)))
    Console(soft_wrap=True).print(table)


def json_text(value: Any) -> str:
    """Write a value as JSON that every program reads: null for what is no finite number.

    Examples
    --------
    >>> json_text({"width": float("inf"), "of": ["a", (1.5, float("nan"))]})
    '{"width": null, "of": ["a", [1.5, null]]}'
    """
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show stages with rate and time left: a bar in a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _PlainProgress()
        return
    columns = (
        TextColumn("{task.description}", style="progress.description", markup=False),
        BarColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        tasks: dict[str, Any] = {}
        clocks: dict[str, _Clock] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks or clocks[stage].is_over(done, total):  # or another output's
                tasks[stage] = bars.add_task(printable(stage), total=total, rate="")
                clocks[stage] = _Clock(done, total)
            bars.update(tasks[stage], completed=done, rate=clocks[stage].rate(stage, done))

        yield update


class _Clock:
    """Rate of a stage since it began (or was gone on with)."""

    def __init__(self, first: int, total: int) -> None:
        self.first, self.total, self.began = first, total, time.monotonic()
        self.last = first

    def is_over(self, done: int, total: int) -> bool:
        """Whether a stage of the same name has begun anew."""
        return done < self.last or total != self.total

    def per_second(self, done: int) -> float:
        self.last = done
        return (done - self.first) / max(1e-9, time.monotonic() - self.began)

    def rate(self, stage: str, done: int) -> str:
        speed = self.per_second(done)
        if stage == "training":
            return f"{speed:.2f} iterations/s"
        return f"{speed / 1e6:.2f} M voxels/s"


class _PlainProgress:
    """A line every ten seconds, and one when a stage ends."""

    def __init__(self) -> None:
        self.clocks: dict[str, _Clock] = {}
        self.shown = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        new = stage not in self.clocks or self.clocks[stage].is_over(done, total)
        if new:
            self.clocks[stage] = _Clock(done, total)
        clock = self.clocks[stage]
        now = time.monotonic()
        if new or (now - self.shown < PLAIN_SECONDS and done < total):
            return
        self.shown = now
        speed = clock.per_second(done)
        left = f", {(total - done) / speed:.0f} s left" if speed and done < total else ""
        share = done / total if total else 1
        sys.stderr.write(printable(f"{stage}: {share:.0%}, {clock.rate(stage, done)}{left}\n"))
        sys.stderr.flush()
