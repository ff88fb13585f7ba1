"""Configuration of Dask workers that run as SLURM or LSF jobs."""

import re
from typing import Annotated, Literal

from dask.utils import parse_bytes
from pydantic import AfterValidator, Field

from asem.config import Config

SCRIPT_WORD_PATTERN = re.compile(r"\w[\w.,:+@/=%-]*")
"""One word of a line of a job script, without characters that are special to shells."""
MIN_MEMORY_BYTES, MAX_MEMORY_BYTES = 2**20, 2**50
"""Memory of a job, in bytes."""
MAX_JOBS, MAX_CORES, MAX_OVERLAP = 10_000, 4096, 64
MAX_WAIT_MINUTES = 60 * 24 * 60
"""Sixty days."""


def _check_word(value: str) -> str:
    if not SCRIPT_WORD_PATTERN.fullmatch(value):
        raise ValueError(
            "only letters, digits and _ . , : + @ / = % - are allowed, and the first character "
            "must be a letter, a digit or _"
        )
    return value


def _check_line(value: str) -> str:
    if not value.replace("\t", " ").isprintable():
        raise ValueError("a line of the job script contains no line break and no control character")
    return value


def _check_folder(value: str) -> str:
    before = re.match(r"(\.{0,2}/)*", value)
    above = before.group() if before else ""
    return above + _check_word(value.removeprefix(above))


def _check_memory(value: str) -> str:
    try:
        size = parse_bytes(value)
    except (ValueError, OverflowError):
        size = 0
    if not MIN_MEMORY_BYTES <= size <= MAX_MEMORY_BYTES:
        raise ValueError('from "1MiB" to "1PiB" is allowed, for instance "32GB"')
    return value


ScriptWord = Annotated[str, AfterValidator(_check_word)]
"""A word of the job script."""
ScriptLine = Annotated[str, AfterValidator(_check_line)]
"""A line of the job script."""


class BatchJobConfig(Config):
    """Configuration of workers as jobs of a batch system.

    These values are inserted into the job script. Each is one word or one line of it, so that no
    value adds a line; but `before` is shell code, and `directives` may contain any option of the
    batch system: treat the file as a program, and run only one that you wrote or checked.
    """

    system: Literal["slurm", "lsf"]
    """Batch system."""
    jobs: int = Field(gt=0, le=MAX_JOBS)
    """Number of jobs at a time; each is one worker."""
    cores: int = Field(gt=0, le=MAX_CORES)
    """Cores of a job; kernels use all of them for a block."""
    overlap: int = Field(default=1, gt=0, le=MAX_OVERLAP)
    """Blocks that a worker processes at a time in `asem predict`: with 3, a GPU computes while
    other blocks are read and stored."""
    memory: Annotated[str, AfterValidator(_check_memory)]
    """Memory of a job, for instance ``"32GB"``."""
    walltime: ScriptWord | None = None
    """Time limit of a job, in the format of the batch system; None: its default. When it expires,
    the worker is lost, and its block is computed by another one."""
    queue: ScriptWord | None = None
    """Queue (LSF) or partition (SLURM)."""
    account: ScriptWord | None = None
    """Account (SLURM) or project (LSF)."""
    interface: ScriptWord | None = None
    """Network interface of the workers, for instance ``"ib0"``."""
    shared_folder: str | None = None
    """Folder that this machine and the jobs can read and no other user can write: it contains the
    certificate of a run, which only you can read, until the run ends; None: your home."""
    before: tuple[ScriptLine, ...] = ()
    """Shell lines that run before the worker: load modules, activate the environment."""
    logs: Annotated[str, AfterValidator(_check_folder)] | None = None
    """Folder of the logs of the jobs; None: the default of the batch system."""
    directives: tuple[ScriptLine, ...] = ()
    """Further lines for the batch system, for instance ``"--constraint=avx512"``."""
    wait_minutes: float = Field(default=60, gt=0, le=MAX_WAIT_MINUTES)
    """Minutes to wait for the first job to start."""
