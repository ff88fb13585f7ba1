import threading

import pytest

from asem.blocks.executors import MAX_ATTEMPTS, RunStoppedError, ThreadExecutor
from asem.blocks.journal import Journal, JournalGroup
from asem.blocks.run_blocks import run_blocks
from asem.volume.block_grid import split_into_blocks
from asem.volume.roi import Roi

BLOCKS = list(split_into_blocks(Roi((0, 0, 0), (1, 1, 10)), (1, 1, 4)))


@pytest.fixture(autouse=True)
def no_retry_delay(monkeypatch):
    monkeypatch.setattr("asem.blocks.executors.RETRY_INTERVAL_S", 0)


def test_each_block_once_with_progress(tmp_path):
    seen, reported = [], []
    with Journal(tmp_path, {}) as journal:
        run_blocks(seen.append, BLOCKS, journal, stage="s", progress=lambda *a: reported.append(a))
    assert seen == BLOCKS
    assert reported == [("s", 0, 10), ("s", 4, 10), ("s", 8, 10), ("s", 10, 10)]


def test_after_an_error_only_the_rest_is_computed(tmp_path):
    seen = []

    def work(block):
        seen.append(block)
        if block == BLOCKS[1] and seen.count(block) <= MAX_ATTEMPTS:
            raise OSError("disk full")

    with (
        Journal(tmp_path, {}) as journal,
        pytest.raises(OSError, match=r"s, block 0:1,0:1,4:8: disk full \(tried 3 times\)"),
    ):
        run_blocks(work, BLOCKS, journal, stage="s")
    with Journal(tmp_path, {}) as journal:
        run_blocks(work, BLOCKS, journal, stage="s")
    assert seen == [BLOCKS[0], *[BLOCKS[1]] * (MAX_ATTEMPTS + 1), BLOCKS[2]]


def test_the_message_of_an_error_with_other_arguments(tmp_path):
    def work(block):
        b"\xff".decode()

    with Journal(tmp_path, {}) as journal, pytest.raises(ValueError, match=r"block 0:1.*utf-8"):
        run_blocks(work, BLOCKS, journal, stage="s")


def test_a_block_that_fails_twice_succeeds_in_the_third_attempt(tmp_path):
    tries = []

    def work(block):
        tries.append(block)
        if tries.count(block) < MAX_ATTEMPTS:
            raise RuntimeError("flaky")

    with Journal(tmp_path, {}) as journal:
        run_blocks(work, BLOCKS, journal, stage="s")
        assert len(journal.done_blocks) == len(BLOCKS)
    assert tries == [block for block in BLOCKS for _ in range(MAX_ATTEMPTS)]


def test_a_bug_in_the_program_is_not_retried(tmp_path):
    tries = []

    def work(block):
        tries.append(block)
        raise TypeError("a bug")

    with Journal(tmp_path, {}) as journal, pytest.raises(TypeError, match="a bug"):
        run_blocks(work, BLOCKS, journal, stage="s")
    assert tries == BLOCKS[:1]


def test_an_interruption_waits_for_blocks_being_stored(tmp_path):
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
    # The first was recorded; the second was being stored when that was reported.
    assert waited == BLOCKS[:2]


def test_a_block_without_a_future_is_recorded_at_once(tmp_path):
    recorded = []

    with Journal(tmp_path, {}) as journal:
        run_blocks(
            lambda block: recorded.append(len(journal.done_blocks)), BLOCKS, journal, stage="s"
        )
    assert recorded == [0, 1, 2]


def test_threads_compute_each_block_once(tmp_path):
    """Two blocks run at the same time, and all are recorded."""
    seen, both = [], threading.Barrier(2, timeout=30)

    def work(block):
        if block != BLOCKS[2]:
            both.wait()
        seen.append(block)

    with Journal(tmp_path, {}) as journal:
        run_blocks(work, BLOCKS, journal, stage="s", executor=ThreadExecutor(2, lambda: None))
        assert journal.done_blocks == {f"s {block}" for block in BLOCKS}
    assert sorted(map(str, seen)) == sorted(map(str, BLOCKS))


def test_threads_record_other_blocks_when_one_fails(tmp_path):
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
        run_blocks(work, BLOCKS, journal, stage="s", executor=ThreadExecutor(2, lambda: None))
    with Journal(tmp_path, {}) as journal:
        assert f"s {BLOCKS[1]}" in journal.done_blocks


def test_threads_are_stopped_when_the_run_ends_early(tmp_path):
    stopped, tries = threading.Event(), []

    def work(block):
        tries.append(block)
        if block != BLOCKS[0]:
            assert stopped.wait(30)
            raise RunStoppedError

    def interrupt(stage, done, total):
        if done:
            raise KeyboardInterrupt

    executor = ThreadExecutor(2, stopped.set)
    with Journal(tmp_path, {}) as journal, pytest.raises(KeyboardInterrupt):
        run_blocks(work, BLOCKS, journal, stage="s", executor=executor, progress=interrupt)
    assert len(tries) == 2  # a stopped block is not retried


def test_outputs_that_are_written_together_share_done_blocks(tmp_path):
    names = [f"s {block}" for block in BLOCKS]
    with Journal(tmp_path / "a", {}) as a, Journal(tmp_path / "b", {}) as b:
        a.record(*names[:2])
        b.record(names[0])
        seen = []
        run_blocks(seen.append, BLOCKS, JournalGroup([a, b]), stage="s")
        assert seen == BLOCKS[1:]
        assert a.done_blocks == b.done_blocks == set(names)
