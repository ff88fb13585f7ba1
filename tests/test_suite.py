"""With CI=true nothing is skipped; elsewhere what is skipped is named with its reason."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from suite import DASK, SLOW, WITH_DASK, pytest_collection_modifyitems, scope_of

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


def run_pytest(folder, *words, **changed):
    """Run the tests of a folder with the hooks of this suite."""
    words = [
        "--disable-plugin-autoload",
        "-p",
        "xdist",
        "-p",
        "suite",
        "-p",
        "no:cacheprovider",
        *words,
    ]
    words += ["-ra", "--no-fold-skipped", "--rootdir", folder]
    paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))} | changed
    environ = {name: value for name, value in environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


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
    done = run_pytest(tmp_path, "--continue-on-collection-errors", CI=ci)
    assert done.returncode == code, done.stdout + done.stderr
    assert counts in done.stdout
    named = [line for line in done.stdout.splitlines() if line.startswith(begins)]
    for test, why in zip(NAMED, ("no such part", "no other part", "no module"), strict=True):
        (line,) = [line for line in named if f" {test} " in line]
        assert why in line


A_CRASH = """
import os

def test_before():
    pass

def test_ends_the_process():
    os.abort()

def test_after():
    pass
"""


def test_a_test_that_ends_a_worker_fails_once_and_the_others_are_run(tmp_path):
    (tmp_path / "test_crash.py").write_text(A_CRASH)
    (tmp_path / "test_other.py").write_text("def test_other():\n    pass\n")
    done = run_pytest(tmp_path, "-p", "no:faulthandler", "--numprocesses", "2")
    assert done.returncode == 1
    assert "1 failed, 3 passed" in done.stdout


def test_the_demo_comes_first_on_one_worker_and_then_slow_files():
    files = [file for file in SLOW if file != DASK]
    items = [SimpleNamespace(nodeid=f"{file}::test") for file in ("tests/a.py", *files[::-1])]
    items.append(SimpleNamespace(nodeid="tests/test_readme.py::test_the_demo_leaves"))
    items += [SimpleNamespace(nodeid=f"{file}::test") for file in WITH_DASK]
    pytest_collection_modifyitems(items)
    scopes = [scope_of(item.nodeid) for item in items]
    assert list(dict.fromkeys(scopes)) == ["demo", *SLOW, "tests/a.py"]
    assert all((TESTS.parent / file).is_file() for file in files)


def test_files_that_share_dask_workers_are_run_on_one_worker():
    files = TESTS.rglob("test_*.py")
    sharing = {path for path in files if re.search(rf"\b{DASK}\b", path.read_text())}
    assert {TESTS.parent / file for file in WITH_DASK} == sharing
