"""Progress of long work: a bar in a terminal, lines elsewhere, with rate and time left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from asem.cli.streams import escape_control_characters

PROGRESS_LINE_INTERVAL_S = 10.0
"""Time between two lines of progress where stderr is no terminal."""


@contextmanager
def show_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show stages with rate and time left: a bar in a terminal, plain lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _LineProgress()
        return
    columns = (
        TextColumn("{task.description}", style="progress.description", markup=False),
        BarColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
    )
    with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
        tasks: dict[str, Any] = {}
        timers: dict[str, _StageTimer] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks or timers[stage].is_restarted(done, total):
                tasks[stage] = bars.add_task(escape_control_characters(stage), total=total, rate="")
                timers[stage] = _StageTimer(done, total)
            bars.update(tasks[stage], completed=done, rate=timers[stage].rate_text(stage, done))

        yield update


class _StageTimer:
    """Rate of a stage since its start (or since it was resumed)."""

    def __init__(self, first: int, total: int) -> None:
        self.first_done, self.total, self.start_time = first, total, time.monotonic()
        self.last_done = first

    def is_restarted(self, done: int, total: int) -> bool:
        """Return whether another stage of the same name has started."""
        return done < self.last_done or total != self.total

    def per_second(self, done: int) -> float:
        self.last_done = done
        return (done - self.first_done) / max(1e-9, time.monotonic() - self.start_time)

    def rate_text(self, stage: str, done: int) -> str:
        speed = self.per_second(done)
        if stage == "training":
            return f"{speed:.2f} iterations/s"
        return f"{speed / 1e6:.2f} M voxels/s"


class _LineProgress:
    """A line every ten seconds, and one when a stage ends."""

    def __init__(self) -> None:
        self.timers: dict[str, _StageTimer] = {}
        self.last_print_time = 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        new = stage not in self.timers or self.timers[stage].is_restarted(done, total)
        if new:
            self.timers[stage] = _StageTimer(done, total)
        timer = self.timers[stage]
        now = time.monotonic()
        if new or (now - self.last_print_time < PROGRESS_LINE_INTERVAL_S and done < total):
            return
        self.last_print_time = now
        speed = timer.per_second(done)
        left = f", {(total - done) / speed:.0f} s left" if speed and done < total else ""
        share = done / total if total else 1
        sys.stderr.write(
            escape_control_characters(
                f"{stage}: {share:.0%}, {timer.rate_text(stage, done)}{left}\n"
            )
        )
        sys.stderr.flush()
