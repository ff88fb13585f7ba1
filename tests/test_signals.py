"""The first signal ends a command in good order, the second one at once."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from asem import signals
from asem.signals import ENDING, Terminated, exit_code, handled_as_interrupt, raised_signals


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_is_raised_and_the_handlers_return(number):
    before = [signal.getsignal(one) for one in ENDING]
    with pytest.raises(KeyboardInterrupt) as caught, raised_signals():
        os.kill(os.getpid(), number)
    assert exit_code(caught.value) == 128 + number
    assert [signal.getsignal(one) for one in ENDING] == before


def test_signals_at_the_same_moment_are_one():
    cleaned = []

    def work():
        with raised_signals():
            try:
                os.kill(os.getpid(), signal.SIGHUP)
            finally:
                os.kill(os.getpid(), signal.SIGHUP)
                os.kill(os.getpid(), signal.SIGTERM)
                cleaned.append(True)

    with pytest.raises(Terminated):
        work()
    assert cleaned


SECOND = """
import os, signal, sys
from asem import signals
signals.SAME_REQUEST_S = 0
with signals.raised_signals():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        os.kill(os.getpid(), signal.SIGHUP)
        print("cleaned up")
"""


def test_the_second_signal_ends_the_process_at_once():
    done = subprocess.run([sys.executable, "-c", SECOND], capture_output=True, text=True)
    assert done.returncode == -signal.SIGHUP
    assert done.stdout == done.stderr == ""


def test_ignored_signals_and_those_of_the_calling_program_stay():
    seen = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    other = signal.signal(signal.SIGTERM, lambda *_: seen.append("theirs"))
    try:
        with raised_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGTERM, other)
    assert seen == ["theirs"]


def test_nothing_changes_in_other_threads():
    before, found = [signal.getsignal(one) for one in ENDING], []

    def run():
        with raised_signals():
            found.extend(signal.getsignal(one) for one in ENDING)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == before


def test_a_loop_of_events_gets_them_as_ctrl_c():
    seen = []
    with raised_signals():
        ctrl_c = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
        with handled_as_interrupt():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            while len(seen) < 2:
                time.sleep(0.001)
        signal.signal(signal.SIGINT, ctrl_c)
    assert set(seen) == {signal.SIGTERM, signal.SIGHUP}
    assert signals.OWN[0] == signal.getsignal(signal.SIGTERM)
