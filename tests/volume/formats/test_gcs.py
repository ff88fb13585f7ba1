"""Buckets of Google Cloud Storage, on a local server with the requests of its JSON interface."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pytest

from asem.volume.address import Address
from asem.volume.formats.stores import make_kvstore_spec
from chunked import write_n5

OBJECTS = "/storage/v1/b/microscopy/o"


@contextmanager
def serve_gcs(folder):
    """Serve the files of a folder as the bucket ``microscopy``."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            url = urlsplit(self.path)
            if url.path == OBJECTS:
                prefix = parse_qs(url.query).get("prefix", [""])[0]
                names = sorted(
                    str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()
                )
                items = [{"name": name} for name in names if name.startswith(prefix)]
                self.send_content(json.dumps({"items": items}).encode())
                return
            name = unquote(url.path.removeprefix(f"{OBJECTS}/"))
            file = folder / name
            if not url.path.startswith(f"{OBJECTS}/") or not file.is_file():
                self.send_error(404)
            elif self.headers.get("Range", "").startswith(f"bytes={len(file.read_bytes())}"):
                self.send_error(416)
            else:
                self.send_content(file.read_bytes())

        def send_content(self, content):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("x-goog-generation", "1")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def asem(tmp_path, monkeypatch):
    """Run a command whose requests to Google go to the local server."""
    folder = tmp_path / "bucket"
    voxels = np.arange(9 * 8 * 7).reshape(9, 8, 7).astype(np.uint16)
    write_n5(folder / "cell.n5/em/s0", voxels, {"resolution": [4.0, 4.0, 5.24]})
    (folder / "cell.n5/attributes.json").write_text('{"n5": "2.0.0"}')
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # without credentials of the user
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    with serve_gcs(folder) as url:
        monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", url)
        monkeypatch.setenv("GCE_METADATA_ROOT", url.removeprefix("http://"))

        def run(*words):
            return subprocess.run(
                [sys.executable, "-m", "asem", *words], capture_output=True, text=True, cwd=tmp_path
            )

        yield run


def test_the_specification():
    spec = make_kvstore_spec(Address.parse("gs://microscopy/cell.n5/em/s0"))
    assert spec == {"driver": "gcs", "bucket": "microscopy", "path": "cell.n5/em/s0/"}
    assert make_kvstore_spec(Address.parse("gs://microscopy"))["path"] == ""


def test_an_image_is_read_without_credentials(asem, tmp_path):
    done = asem("import", "gs://microscopy/cell.n5/em/s0", "raw", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["voxel_size"] == [5.24, 4.0, 4.0]
    assert "Error" not in done.stderr


def test_a_container_is_listed(asem):
    done = asem("info", "gs://microscopy/cell.n5")
    assert done.returncode == 0, done.stderr
    assert "gs://microscopy/cell.n5/em  N5, 9 x 8 x 7 voxels, 5.24 x 4 x 4 nm" in done.stdout


def test_a_missing_object_is_one_line(asem):
    done = asem("info", "gs://microscopy/nothing")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "asem: there is no image at gs://microscopy/nothing"
