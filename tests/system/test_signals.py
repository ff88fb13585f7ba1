"""The first signal ends a command in good order, the second one at once."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from asem.system import signals
from asem.system.signals import (
    TERMINATION_SIGNALS,
    Terminated,
    defer_signals,
    exit_code,
    forward_to_sigint_handler,
    open_uninterrupted,
    raise_on_signals,
    restore_handlers_after,
)


@pytest.mark.parametrize("number", TERMINATION_SIGNALS)
def test_a_signal_is_raised_and_the_handlers_return(number):
    before = [signal.getsignal(one) for one in TERMINATION_SIGNALS]
    with pytest.raises(KeyboardInterrupt) as caught, raise_on_signals():
        os.kill(os.getpid(), number)
    assert exit_code(caught.value) == 128 + number
    assert [signal.getsignal(one) for one in TERMINATION_SIGNALS] == before


def test_signals_at_the_same_moment_are_one():
    cleaned = []

    def work():
        with raise_on_signals():
            try:
                os.kill(os.getpid(), signal.SIGHUP)
            finally:
                os.kill(os.getpid(), signal.SIGHUP)
                os.kill(os.getpid(), signal.SIGTERM)
                cleaned.append(True)

    with pytest.raises(Terminated):
        work()
    assert cleaned


def test_handlers_that_an_import_replaces_are_set_again():
    def handler(*_):
        pass

    before = signal.signal(signal.SIGINT, handler)
    try:
        with restore_handlers_after():
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


SECOND = """
import os, signal, sys
from asem.system import signals
signals.SAME_SIGNAL_INTERVAL_S = 0
with signals.raise_on_signals():
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
        with raise_on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGTERM, other)
    assert seen == ["theirs"]


def test_nothing_changes_in_other_threads():
    before, found = [signal.getsignal(one) for one in TERMINATION_SIGNALS], []

    def run():
        with raise_on_signals():
            found.extend(signal.getsignal(one) for one in TERMINATION_SIGNALS)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == before


def test_a_loop_of_events_gets_them_as_ctrl_c():
    seen = []
    with raise_on_signals():
        ctrl_c = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
        with forward_to_sigint_handler():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            while len(seen) < 2:
                time.sleep(0.001)
        signal.signal(signal.SIGINT, ctrl_c)
    assert set(seen) == {signal.SIGTERM, signal.SIGHUP}
    assert signals.DEFAULT_HANDLERS[0] == signal.getsignal(signal.SIGTERM)


def test_what_the_interrupted_code_raises_is_an_interruption_all_the_same():
    def load():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt as error:  # as C code does that is being imported
            raise ImportError("initialization failed") from error

    def work():
        with raise_on_signals():
            load()

    with pytest.raises(Terminated) as caught:
        work()
    assert exit_code(caught.value) == 143


def test_a_signal_is_kept_until_something_is_open():
    states = []

    @contextmanager
    def make(number):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        states.append("opened")
        try:
            yield number
        finally:
            states.append("closed")

    def work():
        with raise_on_signals(), open_uninterrupted(make, number=3):
            states.append("used")

    with pytest.raises(Terminated) as caught:
        work()
    assert exit_code(caught.value) == 143
    assert states == ["opened", "closed"]
    with pytest.raises(KeyboardInterrupt), defer_signals():
        os.kill(os.getpid(), signal.SIGINT)
    with open_uninterrupted(suppress) as found:
        assert found is None


STARTING = """
import os, signal, sys, time
from distributed import Nanny
make = Nanny.__init__

def make_and_signal(*args, **options):
    make(*args, **options)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.3)  # the main thread may raise, before the worker is started

Nanny.__init__ = make_and_signal
from asem.cli import main
if __name__ == "__main__":
    sys.exit(main(["clahe", "raw", "out", "--workers", "1"]))
"""


def test_a_signal_while_workers_are_started(tmp_path):
    (tmp_path / "start.py").write_text(STARTING)
    words = [sys.executable, "start.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 143
    (line,) = done.stderr.splitlines()
    assert line.startswith("asem: interrupted; run the same command again")
