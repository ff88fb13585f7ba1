"""A web server of a folder that answers range requests, as servers of images do."""

import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RangeHandler(SimpleHTTPRequestHandler):
    """Serve files, whole or in part; lists no folder and logs nothing."""

    def do_GET(self):
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content, size = path.read_bytes(), path.stat().st_size
        words = self.headers.get("Range", "").removeprefix("bytes=")
        first, _, last = words.partition("-")
        start = int(first) if first else max(0, size - int(last)) if last else 0
        stop = min(size, int(last) + 1) if first and last else size
        self.send_response(206 if words else 200)
        if words:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        self.wfile.write(content[start:stop])

    def log_message(self, *_):
        pass


@contextmanager
def serve(folder):
    """Serve a folder; yields its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(RangeHandler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
