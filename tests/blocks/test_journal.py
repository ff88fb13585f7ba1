import subprocess
import sys

import pytest

from asem.blocks.journal import Journal
from asem.blocks.output_lock import check_not_locked

REQUEST = {"command": "test", "size": (1, 2)}


def test_a_second_run_resumes(tmp_path):
    with Journal(tmp_path, REQUEST) as journal:
        journal.record("a 0:1,0:1,0:1")
    with Journal(tmp_path, REQUEST) as journal:
        assert journal.done_blocks == {"a 0:1,0:1,0:1"}
        journal.record("b")
    with Journal(tmp_path, REQUEST) as journal:
        assert journal.done_blocks == {"a 0:1,0:1,0:1", "b"}


def test_a_line_that_was_cut_off_is_dropped(tmp_path):
    with Journal(tmp_path, REQUEST) as journal:
        journal.record("a")
    with journal.path.open("a") as file:
        file.write('{"done": "b')
    with Journal(tmp_path, REQUEST) as journal:
        assert journal.done_blocks == {"a"}
        journal.record("c")
    with Journal(tmp_path, REQUEST) as journal:
        assert journal.done_blocks == {"a", "c"}


def test_a_first_line_that_was_cut_off_is_replaced(tmp_path):
    with Journal(tmp_path, REQUEST) as journal:
        pass
    journal.path.write_text('{"requ')
    with Journal(tmp_path, REQUEST) as journal:
        journal.record("a")
    with Journal(tmp_path, REQUEST) as journal:
        assert journal.done_blocks == {"a"}


def test_another_request_is_an_error(tmp_path):
    Journal(tmp_path, REQUEST).close()
    with pytest.raises(
        ValueError, match=r"differs in size: \[1, 2\] then, \[1, 3\] now\).*--overwrite"
    ):
        Journal(tmp_path, {**REQUEST, "size": (1, 3)})
    with pytest.raises(ValueError, match=r"differs in command: test then, measure now\)"):
        Journal(tmp_path, {**REQUEST, "size": (1, 3), "command": "measure"})
    Journal(tmp_path, REQUEST).close()


def test_another_process_cannot_open_the_journal(tmp_path):
    code = f"""
from pathlib import Path
from asem.blocks.journal import Journal
Journal(Path({str(tmp_path)!r}), {{}})
"""
    with Journal(tmp_path, {}):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "BlockingIOError: another process is writing" in done.stderr
        with pytest.raises(BlockingIOError):
            check_not_locked(tmp_path)
    check_not_locked(tmp_path)
