"""Check that Qt can open a window; explain missing libraries or displays."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NOT_INSTALLED = "annotation needs napari and Qt: pip install 'asem[napari]'"
OTHER_DISPLAY_VARIABLES = ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
"""Variables that select another display than DISPLAY."""
X11_BASE_PORT = 6000
X11_CONNECT_TIMEOUT_S = 5.0
MAX_NAMED_LIBRARIES = 4
"""Libraries named in a message; packages are all named."""
PROBE_TIMEOUT_S = 120.0
IRREGULAR_DEBIAN_PACKAGES = {
    "libGLdispatch.so.0": "libglvnd0",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libgobject-2.0.so.0": "libglib2.0-0",
    "libgio-2.0.so.0": "libglib2.0-0",
    "libz.so.1": "zlib1g",
}
"""Debian packages whose names do not follow from the library."""


@dataclass(frozen=True)
class QtProbeResult:
    """Result of loading Qt; all fields are empty on success.

    Parameters
    ----------
    missing
        Names of shared libraries that are not installed (``libxcb-cursor.so.0``).
    error
        Message of Python, the loader or Qt.
    """

    missing: tuple[str, ...] = ()
    error: str = ""


def check_qt_display(environ: Mapping[str, str]) -> None:
    """Check that Qt can open a window; otherwise Qt would abort the process.

    Raises
    ------
    ValueError
        Qt is not installed.
    OSError
        A system library that Qt needs is missing, there is no display, or Qt does not start.
    """
    if sys.platform != "linux":
        return
    display_problem = find_display_problem(environ)
    result = probe_qt(environ, start=not display_problem)
    if result.missing:
        raise OSError(describe_missing_libraries(result.missing))
    if display_problem:
        raise OSError(f"no display: {display_problem}")
    if result.error:
        raise OSError(f"Qt cannot open a window: {result.error}")


def probe_qt(environ: Mapping[str, str], *, start: bool) -> QtProbeResult:
    """Load Qt, and start it if `start`, in a subprocess.

    Parameters
    ----------
    environ
        Environment of the subprocess; selects platform and display.
    start
        Whether to start Qt; loading its libraries alone needs no display.

    Raises
    ------
    ValueError
        Qt is not installed.
    """
    command = [sys.executable, "-P", "-m", "asem.plugin.qt_probe", *(["--start"] if start else [])]
    try:
        completed = subprocess.run(
            command,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=PROBE_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:  # no information about libraries
        return QtProbeResult()
    if completed.returncode:
        lines = [line.strip() for line in completed.stderr.splitlines() if line.strip()]
        status = f"the Qt probe ended with status {completed.returncode}"
        return QtProbeResult(error=lines[0] if lines else status)
    result = json.loads(completed.stdout.splitlines()[-1])
    error = " ".join(result["error"].split())
    missing = result["missing"] or re.findall(r"(\S+\.so\S*): cannot open shared object", error)
    if not missing and re.search("No Qt bindings|No module named", error):
        raise ValueError(f"{NOT_INSTALLED} ({error})")
    return QtProbeResult(tuple(missing), error)


def describe_missing_libraries(libraries: Sequence[str]) -> str:
    """Return one line with the missing libraries and the Debian packages that contain them.

    >>> describe_missing_libraries(["libxcb-cursor.so.0"])
    'Qt needs libxcb-cursor.so.0; Debian, Ubuntu: sudo apt-get install libxcb-cursor0'
    """
    packages = sorted({debian_package_of(name) for name in libraries})
    more = (
        f" and {len(libraries) - MAX_NAMED_LIBRARIES} more libraries"
        if len(libraries) > MAX_NAMED_LIBRARIES
        else ""
    )
    return (
        f"Qt needs {', '.join(libraries[:MAX_NAMED_LIBRARIES])}{more}; "
        f"Debian, Ubuntu: sudo apt-get install {' '.join(packages)}"
    )


def debian_package_of(library: str) -> str:
    """Return the Debian package of a shared library; its name follows from the library's.

    >>> [debian_package_of(name) for name in ("libEGL.so.1", "libX11.so.6", "libz.so.1")]
    ['libegl1', 'libx11-6', 'zlib1g']
    """
    if library in IRREGULAR_DEBIAN_PACKAGES:
        return IRREGULAR_DEBIAN_PACKAGES[library]
    stem, _, version = library.lower().replace("_", "-").partition(".so.")
    return f"{stem}{'-' if stem[-1].isdigit() and version else ''}{version}"


def find_display_problem(environ: Mapping[str, str]) -> str:
    """Return why there is no display; empty if there is one, or if this cannot be checked."""
    display = environ.get("DISPLAY", "")
    if sys.platform != "linux" or any(environ.get(name) for name in OTHER_DISPLAY_VARIABLES):
        return ""
    if not display:
        return "DISPLAY is not set"
    if not x_server_responds(display):
        return f"no X server responds at DISPLAY={display}"
    return ""


def x_server_responds(display: str) -> bool:
    """Return whether an X server can be reached.

    Display N is a local socket, or port 6000 + N of a host.
    """
    host, _, screen = display.rpartition(":")
    number = screen.partition(".")[0]
    if not number.isdigit():
        return False
    if any(sign in host for sign in "/["):  # a protocol or address, left to Qt
        return True
    path = f"/tmp/.X11-unix/X{number}"
    local = host in ("", "unix")
    # Abstract socket names of Linux, which are no files, start with a 0 byte.
    addresses = [f"\0{path}", path] if local else [(host, X11_BASE_PORT + int(number))]
    for address in addresses:
        with socket.socket(socket.AF_UNIX if local else socket.AF_INET) as server:
            server.settimeout(X11_CONNECT_TIMEOUT_S)
            try:
                server.connect(address)
            except OSError:
                continue
            return True
    return False
