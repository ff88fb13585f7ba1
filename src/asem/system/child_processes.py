"""Child Python processes that import nothing from the current folder."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

SAFE_PATH_ENV = {"PYTHONSAFEPATH": "1"}
"""With this variable, ``python -c`` and ``python -m`` import nothing from the current folder."""


@contextmanager
def safe_child_imports() -> Iterator[None]:
    """Set the environment so that Python processes started in the block do not import from there.

    Dask and PyTorch start processes with ``python -c``, which searches the current folder first: a
    file ``multiprocessing.py`` in a downloaded data folder would be executed.
    """
    before = {name: os.environ.get(name) for name in SAFE_PATH_ENV}
    os.environ.update(SAFE_PATH_ENV)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
