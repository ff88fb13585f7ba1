"""The settings of workers that are started as jobs of a batch system."""

import re
from typing import Annotated, Literal

from dask.utils import parse_bytes
from pydantic import AfterValidator, Field

from asem.config import Config

WORD = re.compile(r"\w[\w.,:+@/=%-]*")
"""One word of a line that a batch system or a shell reads, in which nothing is special to it."""
LEAST_MEMORY, MOST_MEMORY = 2**20, 2**50
"""Bytes of a job."""
MOST_JOBS, MOST_CORES, MOST_OVERLAP = 10_000, 4096, 64
MOST_MINUTES = 60 * 24 * 60
"""Sixty days."""


def _word(value: str) -> str:
    if not WORD.fullmatch(value):
        raise ValueError(
            "only letters, digits and _ . , : + @ / = % - are allowed, the first two first"
        )
    return value


def _line(value: str) -> str:
    if not value.replace("\t", " ").isprintable():
        raise ValueError("a line of the job script holds no line break and no control character")
    return value


def _folder(value: str) -> str:
    before = re.match(r"(\.{0,2}/)*", value)
    above = before.group() if before else ""
    return above + _word(value.removeprefix(above))


def _memory(value: str) -> str:
    try:
        size = parse_bytes(value)
    except (ValueError, OverflowError):
        size = 0
    if not LEAST_MEMORY <= size <= MOST_MEMORY:
        raise ValueError('from "1MiB" to "1PiB" is allowed, for instance "32GB"')
    return value


Word = Annotated[str, AfterValidator(_word)]
"""A word of the job script."""
Line = Annotated[str, AfterValidator(_line)]
"""A line of the job script."""


class JobConfig(Config):
    """Workers as jobs of a batch system.

    The job script is made of these values. Each is one word or one line of it, so that no value
    adds a line; but `before` is shell, and `directives` may ask the batch system for anything: the
    file is a program, to be written by the one who runs it.
    """

    system: Literal["slurm", "lsf"]
    """Whose jobs."""
    jobs: int = Field(gt=0, le=MOST_JOBS)
    """How many run at a time; each is one worker."""
    cores: int = Field(gt=0, le=MOST_CORES)
    """Of a job; kernels use all of them for its block."""
    overlap: int = Field(default=1, gt=0, le=MOST_OVERLAP)
    """Blocks that a worker has under way in `asem predict`: with 3, a GPU computes while other
    blocks are read and stored."""
    memory: Annotated[str, AfterValidator(_memory)]
    """Of a job, for instance ``"32GB"``."""
    walltime: Word | None = None
    """Of a job, as the batch system writes it; None: its default. A worker whose time is over is
    lost like any other: its block goes to another."""
    queue: Word | None = None
    """Queue (LSF) or partition (SLURM)."""
    account: Word | None = None
    """Account (SLURM) or project (LSF)."""
    interface: Word | None = None
    """Network interface of the workers, for instance ``"ib0"``."""
    shared_folder: str | None = None
    """Folder that this machine and the jobs see and in which nobody else can write: it holds the
    certificate of a run, which only you can read, until the run ends; None: your home."""
    before: tuple[Line, ...] = ()
    """Shell lines ahead of the worker: load modules, activate the environment."""
    logs: Annotated[str, AfterValidator(_folder)] | None = None
    """Folder for what the jobs print; None: where the batch system puts it."""
    directives: tuple[Line, ...] = ()
    """Further lines for the batch system, for instance ``"--constraint=avx512"``."""
    wait_minutes: float = Field(default=60, gt=0, le=MOST_MINUTES)
    """How long to wait for the first job to start."""
