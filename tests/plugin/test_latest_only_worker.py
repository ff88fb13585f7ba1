import queue
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asem.plugin.latest_only_worker import LatestOnlyWorker


class GuiThread:
    """The thread of the test acts as GUI thread; records what is delivered in it."""

    def __init__(self):
        self.calls, self.results, self.errors = queue.Queue(), [], []
        self.worker = LatestOnlyWorker("test", self.calls.put)

    def submit(self, function, *arguments):
        self.worker.submit(lambda: function(*arguments), self.results.append, self.errors.append)

    def deliver(self):
        """Deliver until the worker is idle."""
        while self.worker.is_busy:
            self.calls.get(timeout=10)()

    def close(self):
        self.worker.close(wait=True)
        while not self.calls.empty():
            self.calls.get()()


@pytest.fixture
def gui():
    gui = GuiThread()
    yield gui
    gui.close()


@pytest.fixture
def blocking():
    """A function that blocks until `release` is set; sets `started`, and records its arguments."""

    class Blocking:
        started, release, solved = threading.Event(), threading.Event(), []

        def __call__(self, request):
            self.started.set()
            assert self.release.wait(10)
            self.solved.append(request)
            return request.upper()

    return Blocking()


def test_a_new_request_replaces_the_pending_one(gui, blocking):
    gui.submit(blocking, "a")
    assert blocking.started.wait(10)
    gui.submit(blocking, "b")
    gui.submit(blocking, "c")
    blocking.release.set()
    gui.deliver()
    assert blocking.solved == ["a", "c"]
    assert gui.results == ["C"]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=8))
def test_results_arrive_in_order_and_the_newest_always(requests):
    gui = GuiThread()
    for number, (duration, pause) in enumerate(requests):
        gui.submit(lambda n, ms: time.sleep(ms / 1000) or n, number, duration)
        time.sleep(pause / 1000)
        while not gui.calls.empty():
            gui.calls.get()()
    gui.deliver()
    gui.close()
    assert gui.results == sorted(set(gui.results))
    assert gui.results[-1] == len(requests) - 1


def test_a_result_that_waits_in_the_gui_thread_is_dropped_when_it_is_replaced(gui):
    gui.submit(str.upper, "a")
    outdated = gui.calls.get(timeout=10)
    gui.submit(str.upper, "b")
    outdated()
    gui.deliver()
    assert gui.results == ["B"]


def test_errors_arrive_as_one_line_and_the_next_request_is_solved(gui):
    def fail(error):
        raise error

    gui.submit(fail, ValueError("no background stroke\nmore"))
    gui.deliver()
    gui.submit(fail, OSError())
    gui.deliver()
    gui.submit(len, "good")
    gui.deliver()
    assert gui.errors == ["no background stroke", "OSError"]
    assert gui.results == [4]


def test_internal_errors_are_logged(gui, caplog):
    gui.submit(lambda: 1 // 0)
    gui.deliver()
    assert gui.errors == ["integer division or modulo by zero"]
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("stop", ["cancel", "close"])
def test_nothing_is_delivered_after_cancelling_or_closing(gui, blocking, stop):
    gui.submit(blocking, "a")
    assert blocking.started.wait(10)
    getattr(gui.worker, stop)()
    assert not gui.worker.is_busy
    blocking.release.set()
    gui.close()
    assert gui.results == gui.errors == []
