"""The server of a view: neuroglancer's client, its state, and the sources of its layers.

::

    http://127.0.0.1:PORT/v/TOKEN/                   the client, from the package neuroglancer
    http://127.0.0.1:PORT/data/TOKEN/NAME/KEY        a source (`asem.view.served_content`)

Of the server in the package neuroglancer, only what the client needs answers (`CLIENT_FOLDERS`),
with the token. All other requests are refused before their bodies are read.

Both tokens are random, and differ. A request with another token, for another host name (a web page
whose name was bound to 127.0.0.1), with another method or for what is not served gets 403 or 404.
Addresses are not logged, since they contain the tokens.
"""

import errno
import hmac
import logging
import secrets
import socket
import threading
import time
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import neuroglancer.server
from neuroglancer.viewer_base import ViewerBase
from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.routing import Matcher
from tornado.web import RequestHandler, stream_request_body

from asem.view.served_content import Content, Source, parse_range

LOG = logging.getLogger(__name__)
HOSTS = r"(127\.0\.0\.1|localhost)"
ADDRESS = "127.0.0.1"
CLIENT_FOLDERS = ("v", "events", "state", "action")
"""First part of the addresses of neuroglancer's server that the client requests."""
PAUSE_S = 0.1
"""Before the next connection is accepted, where too many files are open."""
PIECE_BYTES = 2**20
"""Sent at a time."""
THREADS = 4
"""Requests whose content is read at the same time."""
TOKEN_BYTES = 24


class Traffic:
    """Requests for sources.

    Attributes
    ----------
    requests, sent_bytes
        Number of requests, and of bytes that were sent.
    active
        Number of requests that are not answered yet.
    """

    def __init__(self) -> None:
        self.requests, self.sent_bytes, self.active = 0, 0, 0
        self._last = time.monotonic()

    @contextmanager
    def count_request(self) -> Iterator[None]:
        """Count a request, which is answered in the block."""
        self.requests += 1
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1
            self._last = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Time since the last request was answered, s; 0 while one is not."""
        return 0.0 if self.active else time.monotonic() - self._last


class ViewServer:
    """Serve neuroglancer's client with one state, and sources, until it is closed.

    Parameters
    ----------
    sources
        By name; a name has letters, digits, ``-`` and ``_`` only.
    port
        0: any free one.

    Raises
    ------
    OSError
        The port is in use.
    """

    def __init__(self, sources: Mapping[str, Source], *, port: int = 0) -> None:
        _check_port(port)
        self.token, self.traffic = secrets.token_urlsafe(TOKEN_BYTES), Traffic()
        self.viewer = ViewerBase(token=secrets.token_urlsafe(TOKEN_BYTES), allow_credentials=False)
        self._pool = ThreadPoolExecutor(THREADS, "asem view")
        self._server = neuroglancer.server.Server(
            bind_address=ADDRESS, bind_port=port, token=secrets.token_urlsafe(TOKEN_BYTES)
        )
        self.port = int(self._server.port)
        self._server.viewers[self.viewer.token] = self.viewer
        settings = {"server": self, "sources": sources}
        self._is_full = False
        self._server.loop.set_exception_handler(self._handle_error)
        self._call_in_loop(lambda: self._add_handlers(settings))

    @property
    def origin(self) -> str:
        """Address of the server, without a path."""
        return f"http://{ADDRESS}:{self.port}"

    @property
    def url(self) -> str:
        """Address of the client, with its token."""
        return f"{self.origin}/v/{self.viewer.token}/"

    @property
    def data_url(self) -> str:
        """Address of the sources, with their token and without their name."""
        return f"{self.origin}/data/{self.token}"

    @property
    def origins(self) -> tuple[str, str]:
        """Origins whose pages may read the sources: the client, by both names of this machine."""
        return self.origin, f"http://localhost:{self.port}"

    def set_state(self, state: dict[str, Any]) -> None:
        """Set what the client displays: a state of neuroglancer as JSON values."""
        self.viewer.set_state(state)

    async def open(self, source: Source, key: str) -> Content | None:
        """Open the content of a key in a thread."""
        return await get_running_loop().run_in_executor(self._pool, source.open, key)

    async def read(self, content: Content, start: int, count: int) -> bytes:
        """Read content in a thread."""
        return await get_running_loop().run_in_executor(self._pool, content.read, start, count)

    def close(self) -> None:
        """Stop to serve."""
        self._server.stop()
        self._server.executor.shutdown()
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _add_handlers(self, settings: dict[str, Any]) -> None:
        data = (r"/data/([^/]+)/([\w-]+)/(.*)", DataHandler, settings)
        others = (NotOfClient(self.viewer.token), RefusingHandler)
        self._server.app.add_handlers(HOSTS, [data, others])
        self._server.app.add_handlers(rf"(?!{HOSTS}$).*", [(r".*", RefusingHandler)])

    def _handle_error(self, loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        """Wait where no connection can be accepted, which is logged once."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
            return
        if not self._is_full:
            LOG.warning("too many connections to the view: %s", error.strerror)
        self._is_full = True
        time.sleep(PAUSE_S)

    def _call_in_loop(self, function: Callable[[], None]) -> None:
        """Call a function in the thread of the server, and return after it."""
        done = threading.Event()

        def call() -> None:
            function()
            done.set()

        self._server.loop.call_soon_threadsafe(call)
        done.wait()


def _check_port(port: int) -> None:
    """Raise OSError where a port is in use."""
    with socket.socket() as test:
        test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            test.bind((ADDRESS, port))
        except OSError as error:
            raise OSError(
                error.errno, f"port {port} cannot be used: {error.strerror}; give another --port"
            ) from error


class NotOfClient(Matcher):
    """Match the addresses that are not those of the client with its token.

    Parameters
    ----------
    token
        Of the client.
    """

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        """Return None for ``/v/TOKEN/...`` and others of `CLIENT_FOLDERS`."""
        _, folder, token, *_ = [*request.path.split("/"), "", ""]
        is_client = folder in CLIENT_FOLDERS and hmac.compare_digest(token.encode(), self._token)
        return None if is_client else {}


@stream_request_body
class RefusingHandler(RequestHandler):
    """Answer every request with 403."""

    def data_received(self, chunk: bytes) -> None:
        """Drop the body."""

    def prepare(self) -> None:
        """Refuse."""
        self.send_error(403)

    def set_default_headers(self) -> None:
        """Send no version of the server."""
        self.clear_header("Server")


@stream_request_body
class DataHandler(RequestHandler):
    """Answer GET and HEAD requests for the sources; all others with 403 or 404."""

    def initialize(self, server: ViewServer, sources: Mapping[str, Source]) -> None:
        """Set what is served."""
        self.server, self.sources = server, sources

    def set_default_headers(self) -> None:
        """Let the browser store nothing."""
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Vary", "Origin")

    def write_error(self, status_code: int, **_: Any) -> None:
        """Send no details of an error."""
        self.finish()

    def send_error(self, status_code: int = 500, **details: Any) -> None:
        """Send 404 instead of other errors of requests, such as an unknown method."""
        refused = 400 <= status_code < 500 and status_code not in (403, 404)
        super().send_error(404 if refused else status_code, **details)

    def prepare(self) -> None:
        """Refuse requests with another token; let pages of the client read the answer to others."""
        token = self.path_args[0] if self.path_args else ""
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            self.send_error(403)
        elif (origin := self.request.headers.get("Origin")) in self.server.origins:
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header("Access-Control-Expose-Headers", "Content-Length, Content-Range")

    def data_received(self, chunk: bytes) -> None:
        """Drop the body."""

    async def get(self, _token: str, name: str, key: str) -> None:
        """Send a source's content, or a range of it."""
        await self._answer(name, key, with_body=True)

    async def head(self, _token: str, name: str, key: str) -> None:
        """Send the size of a source's content."""
        await self._answer(name, key, with_body=False)

    def options(self, _token: str, name: str, _key: str) -> None:
        """Allow the client to request ranges of any kind (a CORS preflight request)."""
        if name not in self.sources or self.request.headers.get("Origin") not in (
            self.server.origins
        ):
            self.send_error(403)
            return
        self.set_header("Access-Control-Allow-Methods", "GET, HEAD")
        self.set_header("Access-Control-Allow-Headers", "Range")
        self.set_status(204)

    async def _answer(self, name: str, key: str, *, with_body: bool) -> None:
        with self.server.traffic.count_request():
            await self._answer_source(self.sources.get(name), key, with_body=with_body)

    async def _answer_source(self, source: Source | None, key: str, *, with_body: bool) -> None:
        try:
            content = None if source is None else await self.server.open(source, key)
        except (OSError, ValueError) as error:
            LOG.warning("a chunk cannot be displayed: %s", error)
            self.send_error(500)
            return
        if content is None:
            self.send_error(404)
            return
        try:
            await self._send(content, with_body=with_body)
        except StreamClosedError:
            pass  # the client needs it no longer
        except OSError as error:
            LOG.warning("a chunk cannot be displayed: %s", error)
            self.request.connection.stream.close()  # type: ignore[union-attr]
        finally:
            content.close()

    async def _send(self, content: Content, *, with_body: bool) -> None:
        try:
            limits = parse_range(self.request.headers.get("Range"), content.size)
        except ValueError:
            self.set_status(416)
            self.set_header("Content-Range", f"bytes */{content.size}")
            return
        start, stop = limits or (0, content.size)
        if limits:
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {start}-{stop - 1}/{content.size}")
        self.set_header("Accept-Ranges", "bytes")
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("Content-Length", str(stop - start))
        while with_body and start < stop:
            piece = await self.server.read(content, start, min(PIECE_BYTES, stop - start))
            if not piece:  # the file became shorter
                self.request.connection.stream.close()  # type: ignore[union-attr]
                return
            start += len(piece)
            self.server.traffic.sent_bytes += len(piece)
            self.write(piece)
            await self.flush()
