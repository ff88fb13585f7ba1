from contextlib import closing

import pytest

from asem.blocks.append_only_log import AppendOnlyLog


def values(path):
    with closing(AppendOnlyLog(path)) as log:
        return list(log.read())


def test_appended_values_are_read_in_order(tmp_path):
    with closing(AppendOnlyLog(tmp_path / "log")) as log:
        log.append({"a": 1}, "b")
        log.append(3)
    assert values(tmp_path / "log") == [{"a": 1}, "b", 3]


@pytest.mark.parametrize("size", range(9))
def test_a_last_line_that_was_cut_off_is_dropped(tmp_path, size):
    path = tmp_path / "log"
    path.write_bytes(b"[1]\n[22]\n"[:size])
    with closing(AppendOnlyLog(path)) as log:
        log.append("more")
    assert values(path) == [*([[1]] if size >= 4 else []), "more"]


def test_the_error_names_a_damaged_line(tmp_path):
    (tmp_path / "log").write_bytes(b"[1]\n[2\n")
    with pytest.raises(ValueError, match="log, line 2 is damaged"):
        values(tmp_path / "log")
