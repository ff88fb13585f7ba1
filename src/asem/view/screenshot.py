"""Pictures of a view, by Chromium without a window; its software computes WebGL."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asem.view.redirect_page import make_redirect_page
from asem.view.server import ViewServer

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless=new",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
)
SOFTWARE_WEBGL = (
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
NOT_INSTALLED = (
    "--screenshot needs Chromium; install it (Debian: apt-get install chromium), or open the link "
    "of asem view in a browser"
)
IDLE_S = 60.0
"""Longest time without a request of the client, until all layers are displayed."""
POLL_S, STOP_S = 0.2, 10.0


def find_browser() -> str:
    """Return the path of Chromium.

    Raises
    ------
    FileNotFoundError
        It is not installed.
    """
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        raise FileNotFoundError(NOT_INSTALLED)
    return found


@contextmanager
def run_browser(profile: Path, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run Chromium without a window, and end it afterwards.

    Parameters
    ----------
    profile
        Folder for its files.
    *words
        Further options, and the page to open.
    """
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has none for root
    process = subprocess.Popen(
        [find_browser(), *OPTIONS, *sandbox, f"--user-data-dir={profile}", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def take_screenshot(server: ViewServer, size: tuple[int, int], *, idle_s: float = IDLE_S) -> bytes:
    """Return a picture of a view, PNG, when all that it displays is loaded.

    Parameters
    ----------
    server
        Serves the view.
    size
        Width and height, pixels.
    idle_s
        Longest time without a request of the client, s.

    Raises
    ------
    FileNotFoundError
        Chromium is not installed.
    OSError
        Chromium ended, or something cannot be loaded.
    """
    wait = request_picture(server, size)
    window = f"--window-size={size[0]},{size[1]}"
    with (
        make_redirect_page(server.url) as page,
        tempfile.TemporaryDirectory(prefix="asem-view-", ignore_cleanup_errors=True) as profile,
        run_browser(Path(profile), *SOFTWARE_WEBGL, window, page.as_uri()) as process,
    ):
        while (picture := wait(POLL_S)) is None:
            if process.poll() is not None:
                raise OSError(f"Chromium ended with code {process.returncode} without a picture")
            if server.traffic.idle_s > idle_s:
                raise TimeoutError(
                    f"a layer cannot be loaded (no request for {idle_s:.0f} s); open the link of "
                    "asem view in a browser, which names it"
                )
    return picture


def request_picture(server: ViewServer, size: tuple[int, int]) -> Callable[[float], bytes | None]:
    """Request a picture from the client that displays a view.

    Parameters
    ----------
    server
        Serves the view.
    size
        Width and height, pixels.

    Returns
    -------
    callable
        ``wait(seconds)`` returns the picture, PNG, or None where it is not there yet.
    """
    finished, pictures = threading.Event(), list[bytes]()

    def receive(action: Any) -> None:
        pictures.append(bytes(action.screenshot.image))
        finished.set()

    def wait(seconds: float) -> bytes | None:
        return pictures[0] if finished.wait(seconds) else None

    with server.viewer.config_state.txn() as config:
        config.show_ui_controls = False
        config.show_panel_borders = False
        config.viewer_size = size
    server.viewer.async_screenshot(receive)
    return wait
