from contextlib import closing

import pytest

from asem.blocks.log import AppendedLog


def values(path):
    with closing(AppendedLog(path)) as log:
        return list(log.read())


def test_what_was_appended_is_read_in_order(tmp_path):
    with closing(AppendedLog(tmp_path / "log")) as log:
        log.append({"a": 1}, "b")
        log.append(3)
    assert values(tmp_path / "log") == [{"a": 1}, "b", 3]


@pytest.mark.parametrize("kept", range(9))
def test_a_last_line_that_was_cut_off_is_dropped(tmp_path, kept):
    path = tmp_path / "log"
    path.write_bytes(b"[1]\n[22]\n"[:kept])
    with closing(AppendedLog(path)) as log:
        log.append("more")
    assert values(path) == [*([[1]] if kept >= 4 else []), "more"]


def test_another_damage_is_named(tmp_path):
    (tmp_path / "log").write_bytes(b"[1]\n[2\n")
    with pytest.raises(ValueError, match="log, line 2 is damaged"):
        values(tmp_path / "log")
