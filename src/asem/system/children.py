"""What the Python processes that asem starts must not import."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""With it, ``python -c`` and ``python -m`` import nothing from the current folder."""


@contextmanager
def safe_children() -> Iterator[None]:
    """Let Python processes that are started meanwhile import nothing from the current folder.

    Dask and PyTorch start theirs with ``python -c``, which looks there first: a file
    ``multiprocessing.py`` among the images of a stranger would run.
    """
    before = {name: os.environ.get(name) for name in SAFE_PATH}
    os.environ.update(SAFE_PATH)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
