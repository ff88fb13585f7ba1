import threading

import pytest

from asem.blocks.executors import ATTEMPTS, StoppedError, Threads
from asem.blocks.journal import Journal, Journals
from asem.blocks.run import run_blocks
from asem.volume.grid import tile
from asem.volume.roi import Roi

BLOCKS = list(tile(Roi((0, 0, 0), (1, 1, 10)), (1, 1, 4)))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr("asem.blocks.executors.PAUSE_SECONDS", 0)


def test_each_block_once_with_progress(tmp_path):
    seen, told = [], []
    with Journal(tmp_path, {}) as journal:
        run_blocks(seen.append, BLOCKS, journal, stage="s", progress=lambda *a: told.append(a))
    assert seen == BLOCKS
    assert told == [("s", 0, 10), ("s", 4, 10), ("s", 8, 10), ("s", 10, 10)]


def test_after_a_fault_only_the_rest_is_done(tmp_path):
    seen = []

    def work(block):
        seen.append(block)
        if block == BLOCKS[1] and seen.count(block) <= ATTEMPTS:
            raise OSError("disk full")

    with (
        Journal(tmp_path, {}) as journal,
        pytest.raises(OSError, match=r"s, block 0:1,0:1,4:8: disk full \(tried 3 times\)"),
    ):
        run_blocks(work, BLOCKS, journal, stage="s")
    with Journal(tmp_path, {}) as journal:
        run_blocks(work, BLOCKS, journal, stage="s")
    assert seen == [BLOCKS[0], *[BLOCKS[1]] * (ATTEMPTS + 1), BLOCKS[2]]


def test_a_fault_with_other_arguments_is_told_plainly(tmp_path):
    def work(block):
        b"\xff".decode()

    with Journal(tmp_path, {}) as journal, pytest.raises(ValueError, match=r"block 0:1.*utf-8"):
        run_blocks(work, BLOCKS, journal, stage="s")


def test_a_block_that_fails_twice_is_done_the_third_time(tmp_path):
    tries = []

    def work(block):
        tries.append(block)
        if tries.count(block) < ATTEMPTS:
            raise RuntimeError("flaky")

    with Journal(tmp_path, {}) as journal:
        run_blocks(work, BLOCKS, journal, stage="s")
        assert len(journal.done) == len(BLOCKS)
    assert tries == [block for block in BLOCKS for _ in range(ATTEMPTS)]


def test_a_mistake_in_the_program_is_not_tried_again(tmp_path):
    tries = []

    def work(block):
        tries.append(block)
        raise TypeError("a bug")

    with Journal(tmp_path, {}) as journal, pytest.raises(TypeError, match="a bug"):
        run_blocks(work, BLOCKS, journal, stage="s")
    assert tries == BLOCKS[:1]


def test_an_interruption_waits_for_what_is_being_stored(tmp_path):
    waited = []

    class Store:
        def __init__(self, block):
            self.block = block

        def result(self):
            waited.append(self.block)

    def stop(stage, done, total):
        if done:
            raise KeyboardInterrupt

    with Journal(tmp_path, {}) as journal, pytest.raises(KeyboardInterrupt):
        run_blocks(Store, BLOCKS, journal, stage="s", progress=stop)
    # The first was recorded; the second was under way when that was told.
    assert waited == BLOCKS[:2]


def test_a_block_that_promises_nothing_is_recorded_at_once(tmp_path):
    recorded = []

    with Journal(tmp_path, {}) as journal:
        run_blocks(lambda block: recorded.append(len(journal.done)), BLOCKS, journal, stage="s")
    assert recorded == [0, 1, 2]


def test_threads_do_each_block_once(tmp_path):
    """While one waits, others are worked at, and all are recorded."""
    seen, both = [], threading.Barrier(2, timeout=30)

    def work(block):
        if block != BLOCKS[2]:
            both.wait()
        seen.append(block)

    with Journal(tmp_path, {}) as journal:
        run_blocks(work, BLOCKS, journal, stage="s", executor=Threads(2, lambda: None))
        assert journal.done == {f"s {block}" for block in BLOCKS}
    assert sorted(map(str, seen)) == sorted(map(str, BLOCKS))


def test_threads_keep_what_is_done_when_a_block_fails(tmp_path):
    failed = threading.Event()

    def work(block):
        if block == BLOCKS[0]:
            failed.set()
            raise OSError("disk full")
        failed.wait(30)

    with (
        Journal(tmp_path, {}) as journal,
        pytest.raises(OSError, match=r"block 0:1,0:1,0:4: disk full \(tried 3 times\)"),
    ):
        run_blocks(work, BLOCKS, journal, stage="s", executor=Threads(2, lambda: None))
    with Journal(tmp_path, {}) as journal:
        assert f"s {BLOCKS[1]}" in journal.done


def test_threads_are_told_when_the_run_ends_early(tmp_path):
    stopped, tries = threading.Event(), []

    def work(block):
        tries.append(block)
        if block != BLOCKS[0]:
            assert stopped.wait(30)
            raise StoppedError

    def interrupt(stage, done, total):
        if done:
            raise KeyboardInterrupt

    executor = Threads(2, stopped.set)
    with Journal(tmp_path, {}) as journal, pytest.raises(KeyboardInterrupt):
        run_blocks(work, BLOCKS, journal, stage="s", executor=executor, progress=interrupt)
    assert len(tries) == 2  # a block that was stopped is not tried again


def test_outputs_that_are_filled_together_are_done_together(tmp_path):
    names = [f"s {block}" for block in BLOCKS]
    with Journal(tmp_path / "a", {}) as a, Journal(tmp_path / "b", {}) as b:
        a.record(*names[:2])
        b.record(names[0])
        seen = []
        run_blocks(seen.append, BLOCKS, Journals([a, b]), stage="s")
        assert seen == BLOCKS[1:]
        assert a.done == b.done == set(names)
