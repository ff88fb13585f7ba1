"""Which tests are run where, in which order, and what may be skipped: hooks of pytest."""

import gc
import itertools
import os
import signal
from collections import OrderedDict

import pytest
from _pytest.doctest import DoctestModule
from xdist.scheduler import LoadFileScheduling

import window_parts

LAST_FILE = pytest.StashKey()
IN_CI = os.environ.get("CI", "").lower() in ("true", "1")
DEMO = "demo"
"""Tests with this in their name or file run on one worker, which runs the demo once."""
DASK = "two_workers"
WITH_DASK = (
    "tests/workflows/test_prediction_inputs.py",
    "tests/workflows/test_evaluation_parts.py",
    "tests/workflows/test_measure.py",
    "tests/workflows/test_mesh.py",
    "tests/workflows/test_split_instances.py",
    "tests/workflows/test_phantom.py",
    "tests/workflows/test_pits.py",
    "tests/workflows/test_pores.py",
    "tests/measure/test_skeleton_pass.py",
    "tests/measure/test_object_columns.py",
)
"""Files with tests of the fixture `two_workers`, which one worker of pytest starts once."""
SLOW = (
    "tests/plugin/test_annotate_widget.py",
    "tests/workflows/test_blockwise.py",
    "tests/training/test_training_loop.py",
    "tests/workflows/test_faults.py",
    DASK,
    "tests/workflows/test_predict.py",
    "tests/test_readme.py",
    "tests/blocks/test_dask_executor.py",
    "tests/workflows/test_nothing_created.py",
    "tests/workflows/test_models.py",
    "tests/cli/test_extreme_options.py",
    "tests/workflows/test_full_disk.py",
    "tests/cli/test_damaged_files.py",
    "tests/blocks/test_dask_workers.py",
)
"""Files that take longest, which therefore come first.

The first compiles other kernels than the demo does meanwhile, which the next files then load.
"""


class ByFile(LoadFileScheduling):
    """Give whole files to workers, so that what the tests of a file share is made once."""

    def _split_scope(self, nodeid):
        return scope_of(nodeid)

    def remove_node(self, node):
        """Return the test that ended a worker; the rest of its files goes to the others.

        The scheduler of xdist runs that test again, and may then wait for ever.
        """
        files = self.assigned_work[node].items()
        left = {file: [test for test, done in tests.items() if not done] for file, tests in files}
        crashed = next(itertools.chain.from_iterable(left.values()), None)
        self.assigned_work[node] = OrderedDict()
        super().remove_node(node)
        for file, tests in left.items():
            unit = OrderedDict((test, False) for test in tests if test != crashed)
            if unit:
                self.workqueue[file] = unit
        if crashed is not None:
            for other in self.assigned_work:
                self._reschedule(other)
        return crashed


def scope_of(nodeid):
    """Return what a test shares a worker with."""
    file = nodeid.partition("::")[0]
    if DEMO in nodeid:
        return DEMO
    return DASK if file in WITH_DASK else file


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect no garbage while all tests are loaded, which leaves hardly any."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path):
    """Collect doctests of files with examples only: each worker would load all others, too."""
    found = yield
    if any(isinstance(one, DoctestModule) for one in found) and ">>>" not in file_path.read_text():
        return [one for one in found if not isinstance(one, DoctestModule)]
    return found


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Share the tests among the workers in their order."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items):
    """Begin with what takes longest, so that no worker is left with it at the end."""
    first = {name: number for number, name in enumerate([DEMO, *SLOW])}
    items.sort(key=lambda item: first.get(scope_of(item.nodeid), len(first)))


def pytest_sessionstart():
    """Restore the signals that a shell's `nohup` or `&` has set to be ignored; tests send them."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            is_ctrl_c = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_ctrl_c else signal.SIG_DFL)


def pytest_runtest_setup(item):
    """Freeze garbage before a new file; skip tests of windows where a part of them is missing."""
    if item.config.stash.get(LAST_FILE, None) != item.path:
        item.config.stash[LAST_FILE] = item.path
        freeze_loaded_objects()
    if item.get_closest_marker("gui") and window_parts.missing():
        pytest.skip(window_parts.missing())


def freeze_loaded_objects():
    """Exclude all objects from garbage collection, which `predict` and `train` do in each call."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """Report a skipped test as failed where CI=true."""
    return fail_where_skipped((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    """Report a skipped file as failed where CI=true."""
    return fail_where_skipped((yield))


def fail_where_skipped(report):
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        why = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"{why}; where CI=true, nothing may be skipped"
    return report
