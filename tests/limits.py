"""Commands in processes that may take little more memory than they begin with, and little time."""

import os
import resource
from pathlib import Path

from killed import FORKS

MEMORY = 2**30
"""Address space of a command beyond what its process begins with, bytes."""
SECONDS = 30
"""Far more than any of these commands takes, where it does not hang."""


def run_limited(words, log):
    """Run a command; return its exit code (None: it hung) and the lines it wrote on stderr."""
    process = FORKS.Process(target=_run, args=(words, str(Path.cwd()), str(log)))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return None, Path(log).read_text().splitlines()
    return process.exitcode, Path(log).read_text().splitlines()


def _run(words, folder, log):
    os.chdir(folder)
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    import matplotlib.font_manager  # noqa: F401 (fonts it cannot read now are missing from its cache)

    from asem.cli import main

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    raise SystemExit(main(words))
