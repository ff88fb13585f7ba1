import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asem.plugin.live import LiveCutter


class Told:
    """What a cutter calls back."""

    def __init__(self):
        self.done, self.failed = [], []

    def cutter(self, solve):
        return LiveCutter(
            solve, lambda *what: self.done.append(what), lambda *what: self.failed.append(what)
        )


def test_what_comes_while_it_works_replaces_what_waits():
    told, go, begun, solved = Told(), threading.Event(), threading.Event(), []

    def solve(request):
        begun.set()
        assert go.wait(10)
        solved.append(request)
        return request.upper()

    cutter = told.cutter(solve)
    cutter.submit("a", 1)
    assert begun.wait(10)
    cutter.submit("b", 2)
    cutter.submit("c", 3)
    go.set()
    cutter.stop(wait=True)
    assert solved == ["a", "c"]
    assert told.done == [(3, "C")]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=8))
def test_never_an_older_answer_after_a_newer_one_and_always_the_newest(requests):
    told = Told()
    cutter = told.cutter(lambda slow: time.sleep(slow / 1000) or slow)
    for number, (slow, pause) in enumerate(requests, start=1):
        cutter.submit(slow, number)
        time.sleep(pause / 1000)
    cutter.stop(wait=True)
    numbers = [number for number, _ in told.done]
    assert numbers == sorted(set(numbers))
    assert told.done[-1] == (len(requests), requests[-1][0])


def test_a_fault_comes_back_as_a_message_and_the_next_request_is_answered():
    told, failed = Told(), threading.Event()

    def solve(request):
        if request == "bad":
            raise ValueError("there is no stroke of the background")
        return request

    cutter = LiveCutter(
        solve,
        lambda *what: told.done.append(what),
        lambda *what: (told.failed.append(what), failed.set()),
    )
    cutter.submit("bad", 1)
    assert failed.wait(10)
    cutter.submit("good", 2)
    cutter.stop(wait=True)
    assert told.failed == [(1, "there is no stroke of the background")]
    assert told.done == [(2, "good")]


def test_a_fault_of_the_program_is_logged_and_told(caplog):
    told = Told()
    cutter = told.cutter(lambda request: 1 // request)
    cutter.submit(0, 1)
    cutter.stop(wait=True)
    assert told.failed == [(1, "integer division or modulo by zero")]
    assert "ZeroDivisionError" in caplog.text


def test_nothing_arrives_of_what_was_forgotten_or_after_the_end():
    told, go, begun = Told(), threading.Event(), threading.Event()
    cutter = told.cutter(lambda request: begun.set() or go.wait(10))
    cutter.submit("forgotten", 1)
    assert begun.wait(10)
    cutter.forget(2)
    cutter.submit("stopped", 3)
    cutter.stop()
    go.set()
    cutter.stop(wait=True)
    assert told.done == told.failed == []


def test_numbers_count_upwards_and_nothing_is_asked_after_the_end():
    cutter = Told().cutter(len)
    cutter.submit("a", 2)
    with pytest.raises(ValueError, match=r"^request 2 comes after 2; count upwards$"):
        cutter.submit("b", 2)
    cutter.stop(wait=True)
    with pytest.raises(ValueError, match=r"^request 3 comes after the end; make a new LiveCutter$"):
        cutter.submit("c", 3)
