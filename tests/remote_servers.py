"""Local servers of files: HTTP with faults, and S3."""

import re
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer


@dataclass
class FileServer:
    """State of a local web server; tests change its faults.

    Parameters
    ----------
    folder
        Files that it serves.
    ranges
        Whether it obeys requests for a part of a file, as plain servers do not.
    status
        Status of all answers; None: by the file.
    failures
        Number of requests that fail with status 500 before it works.
    hangs
        Whether it never answers.
    page
        Answer, with status 200, where there is no file; None: status 404.
    gzip_folder
        Start of the paths of files that are sent with the Content-Encoding gzip; the default is
        the start of none.
    """

    folder: Path
    ranges: bool = True
    status: int | None = None
    failures: int = 0
    hangs: bool = False
    page: bytes | None = None
    gzip_folder: str = "-"
    url: str = ""
    requests: list[str] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    sent: int = 0

    def respond(self, handler):  # noqa: C901
        self.requests.append(handler.path)
        self.headers.append(str(handler.headers))
        if self.hangs:
            time.sleep(3)
            return
        if self.failures:
            self.failures -= 1
            handler.send_error(500)
            return
        file = self.folder / handler.path.partition("?")[0].lstrip("/")
        if not self.status and not file.is_file() and self.page is not None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(self.page)))
            handler.end_headers()
            if handler.command == "GET":
                handler.wfile.write(self.page)
            return
        if self.status or not file.is_file():
            handler.send_error(self.status or 404)
            return
        content, status = file.read_bytes(), 200
        requested = re.fullmatch(r"bytes=(\d*)-(\d*)", handler.headers.get("Range", ""))
        total = len(content)
        if self.ranges and requested:
            first, last = requested.groups()
            begin = int(first) if first else total - int(last)
            if begin >= total:
                handler.send_error(416)
                return
            end = min(int(last) + 1, total) if first and last else total
            content, status = content[begin:end], 206
        handler.send_response(status)
        if status == 206:
            handler.send_header("Content-Range", f"bytes {begin}-{end - 1}/{total}")
        handler.send_header("Content-Length", str(len(content)))
        handler.send_header("ETag", f'"{hash(content)}"')
        if handler.path.startswith(self.gzip_folder):
            handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()
        if handler.command == "GET":
            self.sent += len(content)
            handler.wfile.write(content)


@contextmanager
def serve_files(folder):
    """Serve the files of a folder by HTTP."""
    state = FileServer(Path(folder))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.respond(self)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # more than the requests at one time

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def serve_s3(bucket):
    """Run a server with the interface of S3 and an empty bucket; yield its URL."""
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    try:
        make_client(url).create_bucket(Bucket=bucket, ACL="public-read")
        yield url
    finally:
        server.stop()


def make_client(url):
    """Return a client of a local S3 server."""
    return boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x",
        aws_secret_access_key="y",
    )  # fmt: skip


def upload(url, bucket, folder, prefix, *, acl="public-read"):
    """Copy a folder to a bucket of a local S3 server."""
    client = make_client(url)
    for file in sorted(Path(folder).rglob("*")):
        if file.is_file():
            key = f"{prefix}/{file.relative_to(folder)}"
            client.upload_file(str(file), bucket, key, ExtraArgs={"ACL": acl})
