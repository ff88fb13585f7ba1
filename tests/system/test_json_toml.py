import os
import socket

import pytest

from asem.system.files import open_regular_file
from asem.system.json_toml import parse_json, read_json, read_toml

DEEP = 20_000
FEW = 200


def test_a_table_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [1, null, "µ"]}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"a": [1, None, "µ"]}
    assert parse_json(b"5", source="here") == 5


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"5",
        b"[]",
        b"null",
        b'"a"',
        b"\xff\xfe{",
        b"\x00",
        b'{"a": "\xe9"}',
        b"[" * DEEP,
        b"[" * DEEP + b"]" * DEEP,
        b'{"a":' * FEW + b"1" + b"}" * FEW,
        b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        b'{"a": ' + b"1" * 5000 + b"}",
    ],
    ids=lambda content: repr(content[:12]),
)
def test_what_is_no_table_is_one_line_that_names_the_file(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged") as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "a = " + "[" * DEEP + "]" * DEEP,
        "a = " + "{a=" * DEEP + "1" + "}" * DEEP,
        ".".join("a" * DEEP) + " = 1",
        ".".join("a" * FEW) + " = 1",
        "x = 1\n" + ".".join("a" * 500_000) + " = 1",
        "[" + ".".join("a" * DEEP) + "]",
        "a = " + "9" * 5000,
        "a = 1\na = 2",
    ],
    ids=lambda content: content[:10],
)
def test_toml_that_cannot_be_read_is_one_line(tmp_path, content):
    path = tmp_path / "a.toml"
    path.write_text(content)
    with pytest.raises(ValueError, match="is not valid TOML") as caught:
        read_toml(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("read", [read_json, read_toml, open_regular_file])
@pytest.mark.parametrize("what", ["pipe", "folder", "device", "socket", "nothing"])
def test_only_regular_files_are_opened(tmp_path, monkeypatch, read, what):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "thing"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "device":
        path.symlink_to("/dev/zero")
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind("thing")
    with pytest.raises(OSError, match="thing"):
        read(path)


def test_a_link_to_a_regular_file_is_opened(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "link").symlink_to("a.json")
    assert read_json(tmp_path / "link") == {}


@pytest.mark.parametrize("read", [read_json, read_toml])
def test_a_document_has_a_size(tmp_path, read):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(10**12)  # without a block on disk
    with pytest.raises(ValueError, match="too much for a document"):
        read(path)
