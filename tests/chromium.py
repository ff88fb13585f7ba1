"""Chromium without a window, driven by the DevTools protocol: pages as a person sees them."""

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from imagecodecs import png_decode
from tornado.websocket import websocket_connect

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
START_SECONDS = 60
LOCAL = ("file:", "data:", "blob:", "about:")


class Chromium:
    """A page in Chromium, and the events of the protocol so far."""

    def __init__(self, folder):
        words = [shutil.which("chromium"), *OPTIONS, f"--user-data-dir={folder}", "about:blank"]
        self.process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        self.loop, self.events = asyncio.new_event_loop(), []
        self.loop.run_until_complete(self._connect(folder / "DevToolsActivePort"))
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    async def _connect(self, port_file):
        for _ in range(10 * START_SECONDS):
            if port_file.is_file() and port_file.read_text():
                break
            await asyncio.sleep(0.1)
        port = int(port_file.read_text().split()[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
            page = next(one for one in json.load(answer) if one["type"] == "page")
        self.socket = await websocket_connect(page["webSocketDebuggerUrl"], max_message_size=2**28)

    def close(self):
        self.socket.close()
        self.loop.run_until_complete(asyncio.sleep(0.1))
        self.loop.close()
        self.process.terminate()
        self.process.wait()

    def call(self, method, **parameters):
        """Call a method of the protocol; collect the events until it returns."""
        return self.loop.run_until_complete(self._call(method, parameters))

    async def _call(self, method, parameters):
        await self.socket.write_message(
            json.dumps({"id": 1, "method": method, "params": parameters})
        )
        while True:
            message = json.loads(await self.socket.read_message())
            if message.get("id") == 1:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def open(self, path, *, width=1280, height=1000, scheme="light"):
        """Open a file in a window of a size, in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 500,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.navigate", url=path.resolve().as_uri())
        while self.evaluate("document.readyState") != "complete":
            pass

    def evaluate(self, expression):
        """Return the value of an expression."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key, code):
        """Press and release a key, for instance ``press("Enter", 13)``."""
        text = {"text": "\r"} if key == "Enter" else {}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def screenshot(self):
        """Return what is seen, (rows, columns, 3)."""
        content = self.call("Page.captureScreenshot", format="png")["data"]
        return np.asarray(png_decode(base64.b64decode(content)))[..., :3]

    @property
    def errors(self):
        """Exceptions of the page, and errors in its console."""
        wrong = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
        return [event for event in self.events if event.get("method") in wrong]

    @property
    def requests(self):
        """URLs of requests that leave the page."""
        sent = (e["params"]["request"]["url"] for e in self.events if _is_request(e))
        return [url for url in sent if not url.startswith(LOCAL)]


def _is_request(event):
    return event.get("method") == "Network.requestWillBeSent"


@contextmanager
def open_chromium():
    """Start Chromium; the test is skipped where there is none."""
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed (Debian's package of this name)")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        browser = Chromium(Path(name))
        try:
            yield browser
        finally:
            browser.close()
