"""Whether a window can be opened here, found out before Qt ends the process over it."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NOT_INSTALLED = "annotation needs napari and Qt: pip install 'asem[napari]'"
OTHER_SCREENS = ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
"""Where a window may open instead of DISPLAY."""
FIRST_PORT = 6000
PATIENCE = 5.0
"""Seconds."""
SHOWN = 4
"""Libraries that a message names; their packages are named all."""
PROBE_TIMEOUT_S = 120.0
ODD_PACKAGES = {
    "libGLdispatch.so.0": "libglvnd0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libgobject-2.0.so.0": "libglib2.0-0",
    "libgio-2.0.so.0": "libglib2.0-0",
    "libz.so.1": "zlib1g",
}
"""Debian packages that are not named after their library."""


@dataclass(frozen=True)
class QtReport:
    """What loading Qt gave; all is empty where it loads.

    Parameters
    ----------
    missing
        Names of shared libraries that are not installed (``libxcb-cursor.so.0``).
    error
        What Python, the loader or Qt reports.
    """

    missing: tuple[str, ...] = ()
    error: str = ""


def check_window(environ: Mapping[str, str]) -> None:
    """Raise an error where Qt could not open a window and would end the process.

    Raises
    ------
    ValueError
        Qt is not installed.
    OSError
        Qt lacks a library of the system, there is no screen, or Qt does not start on it.
    """
    if sys.platform != "linux":
        return
    screen = screen_problem(environ)
    report = probe_qt(environ, start=not screen)
    if report.missing:
        raise OSError(describe_missing(report.missing))
    if screen:
        raise OSError(f"there is no screen: {screen}")
    if report.error:
        raise OSError(f"Qt cannot open a window: {report.error}")


def probe_qt(environ: Mapping[str, str], *, start: bool) -> QtReport:
    """Load Qt, and start it if `start`, in another process.

    Parameters
    ----------
    environ
        Environment of that process: it states the platform and the screen.
    start
        Whether to start it; otherwise its libraries are loaded, for which no screen is needed.

    Raises
    ------
    ValueError
        Qt is not installed.
    """
    words = [sys.executable, "-P", "-m", "asem.plugin.qt_probe", *(["--start"] if start else [])]
    try:
        done = subprocess.run(
            words, env=environ, capture_output=True, text=True, check=False, timeout=PROBE_TIMEOUT_S
        )
    except subprocess.TimeoutExpired:  # says nothing about libraries
        return QtReport()
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        return QtReport(error=lines[0] if lines else f"it ended with status {done.returncode}")
    found = json.loads(done.stdout.splitlines()[-1])
    error = " ".join(found["error"].split())
    missing = found["missing"] or re.findall(r"(\S+\.so\S*): cannot open shared object", error)
    if not missing and re.search("No Qt bindings|No module named", error):
        raise ValueError(f"{NOT_INSTALLED} ({error})")
    return QtReport(tuple(missing), error)


def describe_missing(libraries: Sequence[str]) -> str:
    """Return the line that names missing libraries and the packages that have them.

    >>> describe_missing(["libxcb-cursor.so.0"])
    'a window needs libxcb-cursor.so.0; Debian, Ubuntu: sudo apt-get install libxcb-cursor0'
    """
    packages = sorted({debian_package(name) for name in libraries})
    more = f" and {len(libraries) - SHOWN} more libraries" if len(libraries) > SHOWN else ""
    return (
        f"a window needs {', '.join(libraries[:SHOWN])}{more}; "
        f"Debian, Ubuntu: sudo apt-get install {' '.join(packages)}"
    )


def debian_package(library: str) -> str:
    """Return the Debian package of a shared library, whose name follows from the library's.

    >>> debian_package("libEGL.so.1"), debian_package("libX11.so.6"), debian_package("libz.so.1")
    ('libegl1', 'libx11-6', 'zlib1g')
    """
    if library in ODD_PACKAGES:
        return ODD_PACKAGES[library]
    stem, _, version = library.lower().replace("_", "-").partition(".so.")
    return f"{stem}{'-' if stem[-1].isdigit() and version else ''}{version}"


def check_screen(environ: Mapping[str, str]) -> None:
    """Raise OSError where there is no screen, on which Qt would end the process."""
    problem = screen_problem(environ)
    if problem:
        raise OSError(f"there is no screen: {problem}")


def screen_problem(environ: Mapping[str, str]) -> str:
    """Return why there is no screen, or nothing where there is one, or may be one."""
    display = environ.get("DISPLAY", "")
    if sys.platform != "linux" or any(environ.get(name) for name in OTHER_SCREENS):
        return ""
    if not display:
        return "annotation opens a window (DISPLAY is not set)"
    if not answers(display):
        return f"no X server answers at DISPLAY={display}"
    return ""


def answers(display: str) -> bool:
    """Whether an X server can be reached; display N is a socket, or port 6000 + N of a host."""
    host, _, place = display.rpartition(":")
    number = place.partition(".")[0]
    if not number.isdigit():
        return False
    if any(sign in host for sign in "/["):  # a protocol or an address, which Qt may know
        return True
    path = f"/tmp/.X11-unix/X{number}"
    local = host in ("", "unix")
    # The kernel has names of sockets that are no files; they begin with a 0.
    ways = [f"\0{path}", path] if local else [(host, FIRST_PORT + int(number))]
    for way in ways:
        with socket.socket(socket.AF_UNIX if local else socket.AF_INET) as server:
            server.settimeout(PATIENCE)
            try:
                server.connect(way)
            except OSError:
                continue
            return True
    return False
