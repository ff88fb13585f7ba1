"""What tests of windows need of the system."""

import os
import shutil
import sys
from functools import cache

from asem.plugin.window import describe_missing, probe_qt

COMMANDS = {"Xvfb": "xvfb", "xdotool": "xdotool", "setpriv": "util-linux"}
"""Commands, and the Debian packages that have them."""


@cache
def missing():
    """Return what is missing, in one line, or nothing; Qt is loaded in another process for it."""
    if sys.platform != "linux":
        return "tests of windows need an X server without a monitor (Xvfb), on Linux"
    commands = [name for name in COMMANDS if shutil.which(name) is None]
    packages = " ".join(COMMANDS[name] for name in commands)
    lines = [f"no {', '.join(commands)}: sudo apt-get install {packages}"] if commands else []
    try:
        report = probe_qt({**os.environ, "QT_QPA_PLATFORM": "xcb"}, start=False)
    except ValueError as error:
        return "; ".join([*lines, str(error)])
    if report.missing:
        lines.append(describe_missing(report.missing))
    elif report.error:
        lines.append(f"Qt does not load: {report.error}")
    return "; ".join(lines)
