"""What the server of a view sends, and what it refuses: real requests."""

import errno
import http.client
import json
import os
import re
import shutil
import socket
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from asem.view import server as module
from asem.view.open_view import open_view
from asem.view.served_content import FileFolder, FileTree, MemoryContent, open_below
from asem.view.server import ViewServer

CHUNK = "0/0/c/0/0/0"
"""The only shard of the finest level of raw: source 0."""


@contextmanager
def requesting(port):
    """Yield a function that returns status, headers and body of a request."""
    connections = []

    def request(path, method="GET", **headers):
        connections.append(http.client.HTTPConnection("127.0.0.1", port, timeout=10))
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connections[-1].request(method, path, headers=names)
        response = connections[-1].getresponse()
        return response.status, dict(response.getheaders()), response.read()

    yield request
    for connection in connections:
        connection.close()


@pytest.fixture(scope="module")
def served(known_cell, tmp_path_factory):
    """A copy of raw with other files beside and in it; its server, and a function that requests."""
    image = shutil.copytree(known_cell / "raw", tmp_path_factory.mktemp("served") / "raw")
    (image / ".asem").mkdir()
    for path in (image / ".asem/journal.jsonl", image / "notes.txt", image.parent / "secret"):
        path.write_text("secret")
    (image / "0/c/0/0/1").symlink_to(image.parent / "secret")
    (image / "0/c/1").symlink_to(image / "0/c/0")
    with open_view([image]) as view, requesting(view.server.port) as request:
        yield view.server, request, (image / "0/c/0/0/0").read_bytes()


def test_a_shard_is_sent_whole_and_by_ranges(served):
    server, request, shard = served
    url = f"/data/{server.token}/{CHUNK}"
    status, headers, body = request(url)
    assert (status, body) == (200, shard)
    assert headers["Content-Length"] == str(len(shard))
    for words, part in [
        ("bytes=0-9", slice(0, 10)), ("bytes=100-", slice(100, None)),
        ("bytes=-52", slice(-52, None)), ("bytes=-99999999", slice(None)),
        ("bytes=10-99999999", slice(10, None)),
    ]:  # fmt: skip
        status, headers, body = request(url, Range=words)
        assert (status, body) == (206, shard[part])
        start = len(shard) - len(body) if part.start is None or part.start < 0 else part.start
        assert headers["Content-Range"] == f"bytes {start}-{start + len(body) - 1}/{len(shard)}"
    status, headers, body = request(url, Range=f"bytes={len(shard)}-")
    assert (status, headers["Content-Range"], body) == (416, f"bytes */{len(shard)}", b"")
    status, headers, body = request(url, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(shard)), b"")


def test_only_pages_of_the_view_may_read_it(served):
    server, request, _ = served
    url = f"/data/{server.token}/{CHUNK}"
    preflight = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "range"}
    for origin in server.origins:
        _, headers, _ = request(url, Origin=origin)
        assert headers["Access-Control-Allow-Origin"] == origin
        assert "Content-Range" in headers["Access-Control-Expose-Headers"]
        status, headers, _ = request(url, "OPTIONS", Origin=origin, **preflight)
        assert (status, headers["Access-Control-Allow-Headers"]) == (204, "Range")
    _, headers, _ = request(url, Origin="https://example.org")
    assert "Access-Control-Allow-Origin" not in headers
    assert request(url, "OPTIONS", Origin="https://example.org", **preflight)[0] == 403


@pytest.mark.parametrize(
    "key",
    [
        "0/.asem/journal.jsonl", "0/notes.txt", "0/0/notes.txt", "0/0/../notes.txt",
        "0/0/c/0/0/../../../../../secret", "0/%2e%2e/secret", "0/0/c/0/0/%2e%2e/%2e%2e/0/0/0",
        "0/..%2f..%2fsecret", "0/0/c/0/0/1", "0/0/c/1/0/0", "0/0/c/0/0", "0/0/c/0/0/0/",
        "0/0/c/0/0/9", "0//0/c/0/0/0", "0/0/c/0/0/0%00", "0/0/c/0/0/%30%0a", "0/9/zarr.json",
        "0", "0/", "1/zarr.json", "raw/zarr.json", "", "0/0/c/%D9%A0/0/0", "0/%ff",
    ],
)  # fmt: skip
def test_nothing_else_is_sent(served, key):
    server, request, _ = served
    status, _, body = request(f"/data/{server.token}/{key}")
    assert status in (403, 404)
    assert b"secret" not in body


def test_no_other_token_host_or_method(served):
    server, request, _ = served
    url = f"/data/{server.token}/{CHUNK}"
    other = "A" * len(server.token)
    for path in (f"/data/{other}/{CHUNK}", f"/data//{CHUNK}", f"/{CHUNK}", f"/data/{CHUNK}", "/"):
        assert request(path)[0] in (403, 404)
    assert request(f"/data/{server.viewer.token}/{CHUNK}")[0] == 403
    assert request(f"/v/{server.token}/")[0] == 403
    assert request(f"/v/{other}/")[0] == 403
    for path in (url, f"/v/{server.viewer.token}/"):
        assert request(path)[0] == 200
        assert request(path, Host="example.org")[0] == 403
        assert request(path, Host=f"127.0.0.1.example.org:{server.port}")[0] == 403
    for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND"):
        status, _, body = request(url, method)
        assert (status, body) == (404, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/neuroglancer/raw/x/y/99999999999999999999/1", 403),
        (f"/neuroglancer/mesh/a.b/{'9' * 5000}", 403),
        ("/credentials/TOKEN", 403),
        ("/volume_response/TOKEN/1/info", 403),
        ("/", 403),
        ("/v/TOKEN/", 200),
        ("/v/other/", 403),
        ("/v", 403),
        ("/events/other", 403),
        ("/v/TOKEN/%2e%2e/server.py", 404),
        ("/v/TOKEN/../server.py", 404),
    ],
)
def test_only_the_client_is_answered_beside_the_sources(served, capfd, path, status):
    server, request, _ = served
    assert request(path.replace("TOKEN", server.viewer.token))[0] == status
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("path", ["/", "/state/other", "/data/other/0/zarr.json"])
def test_bodies_without_a_token_are_not_stored(served, path):
    """The answer is there before the body is."""
    server, _, _ = served
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {2**29}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 403"


def test_too_many_connections_are_one_line(served, caplog, capfd, monkeypatch):
    monkeypatch.setattr(module, "PAUSE_S", 0)
    server, request, shard = served

    def fail():
        raise OSError(errno.EMFILE, "Too many open files")

    for _ in range(3):
        server._server.loop.call_soon_threadsafe(fail)
    assert request(f"/data/{server.token}/{CHUNK}")[2] == shard
    assert [record.getMessage() for record in caplog.records] == [
        "too many connections to the view: Too many open files"
    ]
    assert "Traceback" not in capfd.readouterr().err


def test_metadata_are_those_of_the_view_alone(served):
    server, request, _ = served
    group = json.loads(request(f"/data/{server.token}/0/zarr.json")[2])
    assert set(group["attributes"]) == {"ome"}
    array = json.loads(request(f"/data/{server.token}/0/0/zarr.json")[2])
    assert "attributes" not in array
    assert array["shape"] == [24, 40, 96]


def test_two_views_do_not_open_the_arrays_of_each_other(known_cell):
    with (
        open_view([known_cell / "raw"]) as one,
        open_view([known_cell / "labels/mito"]) as other,
        requesting(other.server.port) as request,
    ):
        assert request(f"/data/{other.server.token}/{CHUNK}")[0] == 200
        assert request(f"/data/{one.server.token}/{CHUNK}")[0] == 403
        assert request(f"/v/{one.server.viewer.token}/")[0] == 403
        port = one.server.port
    with pytest.raises(ConnectionRefusedError), requesting(port) as request:
        request("/")


def test_a_port_in_use_is_one_line(served, known_cell):
    server, _, _ = served
    from asem.view.open_view import ViewOptions

    with (
        pytest.raises(OSError, match=r"cannot be used: .* in use; give another --port"),
        open_view([known_cell / "raw"], ViewOptions(port=server.port)),
    ):
        pass


def test_files_are_opened_below_their_folder_only(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_bytes(b"12")
    os.mkfifo(tmp_path / "a/pipe")
    (tmp_path / "a/link").symlink_to(tmp_path / "a/b/file")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    content = open_below(tmp_path / "link", "b/file")  # the folder itself may be a link
    assert (content.size, content.read(1, 5)) == (2, b"2")
    content.close()
    for path in ("pipe", "link", "b", "none", "b/../b/file", "./b/file", "/b/file", "", "b//file"):
        assert open_below(tmp_path / "a", path) is None
    assert open_below(tmp_path, "link/b/file") is None


def test_a_file_that_cannot_be_opened_is_not_absent(tmp_path, monkeypatch):
    """The client displays an absent chunk as background."""
    open_file = os.open

    def refuse(name, flags, **place):
        if name == "0":
            raise OSError(errno.EACCES, "Permission denied", name)
        return open_file(name, flags, **place)

    monkeypatch.setattr(os, "open", refuse)
    (tmp_path / "c").mkdir()
    with pytest.raises(PermissionError, match=re.escape(str(tmp_path / "c/0"))):
        open_below(tmp_path, "c/0")
    assert open_below(tmp_path, "c/1") is None


def test_a_document_replaces_a_file_and_patterns_match_whole_keys(tmp_path):
    (tmp_path / "12").write_bytes(b"file")
    tree = FileTree({"a": FileFolder(tmp_path, r"\d+")}, {"a/info": b"{}"})
    assert tree.open("a/info") == MemoryContent(b"{}")
    found = tree.open("a/12")
    assert found.read(0, 9) == b"file"
    found.close()
    assert [tree.open(key) for key in ("a/12x", "12", "b/12", "a", "a/12/", "info")] == [None] * 6


class FailingSource:
    def open(self, key):
        raise ValueError(f"{key} is damaged")


class FailingContent(MemoryContent):
    def read(self, start, count):
        raise OSError(errno.EIO, "Input/output error", "c/0")


class LargeContent:
    """Content that is shorter than its size, as a file that was cut off meanwhile."""

    size, closed = 2**25, threading.Event()

    def read(self, start, count):
        return bytes(count if start < 2**23 else 0)

    def close(self):
        self.closed.set()


class LargeSource:
    def open(self, key):
        return LargeContent()


def test_a_damaged_chunk_and_closed_connections_are_no_tracebacks(caplog, capfd):
    worn = SimpleNamespace(open=lambda key: FailingContent(b"0123"))
    sources = {"bad": FailingSource(), "large": LargeSource(), "worn": worn}
    with ViewServer(sources) as server, requesting(server.port) as request:
        status, _, body = request(f"/data/{server.token}/bad/0/1")
        assert (status, body) == (500, b"")
        with pytest.raises(http.client.RemoteDisconnected):
            request(f"/data/{server.token}/worn/0")
        with pytest.raises(http.client.IncompleteRead):
            request(f"/data/{server.token}/large/0")
        assert LargeContent.closed.wait(10)
        LargeContent.closed.clear()
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            words = f"GET /data/{server.token}/large/0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
            connection.sendall(words.encode())
            connection.recv(100)
        assert LargeContent.closed.wait(10)
        page = socket.create_connection(("127.0.0.1", server.port))  # the client waits for events
        words = f"GET /events/{server.viewer.token}?c=1&gc=&gs= HTTP/1.1\r\nHost: localhost\r\n\r\n"
        page.sendall(words.encode())
        page.recv(100)
    page.close()
    assert [record.getMessage() for record in caplog.records] == [
        "a chunk cannot be displayed: 0/1 is damaged",
        "a chunk cannot be displayed: [Errno 5] Input/output error: 'c/0'",
    ]
    assert "Traceback" not in capfd.readouterr().err
