"""With CI=true nothing is skipped; elsewhere what is skipped is named with its reason."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from suite import SLOW, pytest_collection_modifyitems, scope_of

TESTS = Path(__file__).parent
A_FILE = """
import pytest

def test_passes():
    pass

@pytest.mark.skip(reason="no such part")
def test_marked():
    pass

def test_skips():
    pytest.skip("no other part")

@pytest.mark.xfail(strict=True)
def test_is_known_to_fail():
    raise ValueError
"""
A_SKIPPED_FILE = 'import pytest\npytest.importorskip("no_such_module", reason="no module")\n'
NAMED = ["test_a.py::test_marked", "test_a.py::test_skips", "test_b.py"]


@pytest.mark.parametrize(
    ("ci", "begins", "code", "counts"),
    [
        ("true", ("FAILED", "ERROR"), 1, "1 failed, 1 passed, 1 xfailed, 2 errors"),
        ("", "SKIPPED", 0, "1 passed, 3 skipped, 1 xfailed"),
    ],
)
def test_what_is_skipped(tmp_path, ci, begins, code, counts):
    (tmp_path / "test_a.py").write_text(A_FILE)
    (tmp_path / "test_b.py").write_text(A_SKIPPED_FILE)
    words = ["-p", "suite", "-p", "no:cacheprovider", "-p", "no:napari", "-p", "no:npe2"]
    words += ["-ra", "--no-fold-skipped", "--continue-on-collection-errors", "--rootdir", tmp_path]
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    environ = {**os.environ, "CI": ci, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    environ.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert counts in done.stdout
    named = [line for line in done.stdout.splitlines() if line.startswith(begins)]
    for test, why in zip(NAMED, ("no such part", "no other part", "no module"), strict=True):
        (line,) = [line for line in named if f" {test} " in line]
        assert why in line


def test_the_demo_comes_first_on_one_worker_and_then_slow_files():
    items = [SimpleNamespace(nodeid=f"{file}::test") for file in ("tests/a.py", *reversed(SLOW))]
    items.append(SimpleNamespace(nodeid="tests/test_readme.py::test_the_demo_leaves"))
    pytest_collection_modifyitems(items)
    scopes = [scope_of(item.nodeid) for item in items]
    assert scopes == ["demo", *SLOW, "tests/a.py"]
    assert all((TESTS.parent / file).is_file() for file in SLOW)
