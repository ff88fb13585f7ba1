"""Commands in processes that kill themselves.

They are forked from one process that has loaded what commands need: that takes longer than they do.
"""

import multiprocessing
import os
import signal
from pathlib import Path

LOADED = [
    "matplotlib.font_manager",
    "asem.cli",
    "asem.workflows.clahe",
    "asem.workflows.evaluate",
    "asem.workflows.exporting",
    "asem.workflows.importing",
    "asem.workflows.instances",
    "asem.workflows.labels",
    "asem.workflows.mask",
    "asem.workflows.measure",
    "asem.workflows.mesh",
    "asem.workflows.pits",
    "asem.workflows.pores",
    "asem.workflows.predict",
    "asem.workflows.segment",
    "asem.workflows.train",
]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(LOADED)


def run_killed(words, *, edge, after, log):
    """Run a command with shards of `edge`, killed as `after` blocks are recorded.

    Returns
    -------
    int
        The exit code, -9 of a process that was killed; `log` has what it wrote on stderr.
    """
    place = (str(Path.cwd()), str(log))
    process = FORKS.Process(target=_run, args=(words, edge, after, *place))
    process.start()
    process.join()
    return process.exitcode


def _run(words, edge, after, folder, log):
    os.chdir(folder)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    from asem.blocks.journal import Journal
    from asem.cli import main
    from shards import small_shards

    small_shards(edge)
    left, record = after, Journal.record

    def record_and_die(journal, *blocks):
        nonlocal left
        left -= len(blocks)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        record(journal, *blocks)

    Journal.record = record_and_die
    raise SystemExit(main(words))
