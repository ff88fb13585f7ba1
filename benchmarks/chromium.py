"""Chromium without a window, controlled by the DevTools protocol: for benchmarks and tests.

Needs Debian's package `chromium`. Events of the page and of its workers (console, exceptions,
requests) are collected.
"""

import asyncio
import base64
import json
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from imagecodecs import png_decode
from tornado.websocket import WebSocketClientConnection, websocket_connect

from asem.view.screenshot import SOFTWARE_WEBGL, run_browser

DOMAINS = ("Page", "Runtime", "Network", "Log")
WORKER_DOMAINS = ("Runtime", "Network")
LOCAL = ("file:", "data:", "blob:", "about:")
ICON = "/favicon.ico"
"""Requested by the browser, not by the page."""
MAX_MESSAGE_BYTES = 2**28
MOBILE_WIDTH = 500
"""Narrower pages are those of a phone, CSS pixels."""


class Browser:
    """A page in a new Chromium, which can resolve no host name but that of this machine.

    Parameters
    ----------
    folder
        For downloads.
    size
        Width and height of the page, pixels.
    webgl
        Whether its software computes WebGL, which makes other pages slower.
    """

    def __init__(
        self, folder: Path, size: tuple[int, int] = (1280, 800), *, webgl: bool = False
    ) -> None:
        self.events = list[dict[str, Any]]()
        self._loop, self._stack = asyncio.new_event_loop(), ExitStack()
        self._ids = count(1)
        self._stack.callback(self._loop.close)
        options = (
            "--remote-debugging-port=0",
            f"--window-size={size[0]},{size[1]}",
            *(SOFTWARE_WEBGL if webgl else ["--disable-gpu"]),
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
            "about:blank",
        )
        profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        path = Path(self._stack.enter_context(profile))
        self._stack.enter_context(run_browser(path, *options))
        self._connect(path / "DevToolsActivePort")
        for domain in DOMAINS:
            self.call(f"{domain}.enable")
        attach = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self.call("Target.setAutoAttach", **attach)
        self.save_downloads(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End Chromium."""
        self._socket.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._stack.close()

    def open(self, url: str) -> None:
        """Open a page, and return when it has loaded; earlier events are discarded."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol; collect the events until it returns."""
        return self._loop.run_until_complete(self._call(method, parameters))

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    def wait_for(self, expression: str, *, seconds: float = 60, interval: float = 0.05) -> None:
        """Return when an expression of JavaScript is true; raise TimeoutError before."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression} is not true after {seconds} s")
            time.sleep(interval)

    def emulate(self, width: int, height: int = 1000, *, scheme: str = "light") -> None:
        """Change the size of the page, in CSS pixels, and the preferred colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < MOBILE_WIDTH,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media="", features=features)

    def end_emulation(self) -> None:
        """Return to the size and the colours that the page had at first."""
        self.call("Emulation.clearDeviceMetricsOverride")
        self.call("Emulation.setEmulatedMedia", media="", features=[])

    def press(self, key: str) -> None:
        """Press and release a key: a letter, or ``"Enter"``."""
        text, code = ("\r", 13) if key == "Enter" else (key, ord(key.upper()))
        common = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def save_downloads(self, folder: Path) -> None:
        """Save downloads of the page in a folder."""
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def capture(self) -> npt.NDArray[np.uint8]:
        """Return what is displayed, RGB, (rows, columns, 3)."""
        content = self.call("Page.captureScreenshot", format="png")["data"]
        return np.asarray(png_decode(base64.b64decode(content)))[..., :3]

    def find_requests(self) -> list[str]:
        """Return the addresses that the page and its workers requested."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def find_faults(self, allowed: tuple[str, ...] = LOCAL) -> list[dict[str, Any]]:
        """Return exceptions, errors on the console, and requests for other addresses.

        Parameters
        ----------
        allowed
            Starts of addresses that the page may request.
        """
        return [event for event in self.events if _is_fault(event, allowed)]

    def _connect(self, port_file: Path) -> None:
        while not (port_file.is_file() and port_file.read_text()):
            time.sleep(0.05)
        port = int(port_file.read_text().split()[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            page = next(one for one in json.load(answer) if one["type"] == "page")
        self._socket: WebSocketClientConnection = self._loop.run_until_complete(
            _connect(page["webSocketDebuggerUrl"])
        )

    async def _call(self, method: str, parameters: dict[str, Any], session: str = "") -> Any:
        number = next(self._ids)
        await self._send(number, method, parameters, session)
        while True:
            message = json.loads(await self._socket.read_message() or "{}")
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            if "method" in message:
                await self._handle(message)

    async def _send(
        self, number: int, method: str, parameters: dict[str, Any], session: str
    ) -> None:
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.write_message(
            json.dumps({**message, "sessionId": session} if session else message)
        )

    async def _handle(self, event: dict[str, Any]) -> None:
        """Collect an event; observe workers before they start."""
        self.events.append(event)
        if event["method"] == "Target.attachedToTarget":
            session = event["params"]["sessionId"]
            methods = [f"{domain}.enable" for domain in WORKER_DOMAINS]
            for method in (*methods, "Runtime.runIfWaitingForDebugger"):
                await self._send(next(self._ids), method, {}, session)


async def _connect(url: str) -> WebSocketClientConnection:
    return await websocket_connect(url, max_message_size=MAX_MESSAGE_BYTES)


def _is_fault(event: dict[str, Any], allowed: tuple[str, ...]) -> bool:
    match event["method"]:
        case "Runtime.exceptionThrown":
            return True
        case "Runtime.consoleAPICalled":
            return bool(event["params"]["type"] == "error")
        case "Log.entryAdded":
            entry = event["params"]["entry"]
            return entry["level"] == "error" and not entry.get("url", "").endswith(ICON)
        case "Network.requestWillBeSent":
            return not event["params"]["request"]["url"].startswith(allowed)
    return False
