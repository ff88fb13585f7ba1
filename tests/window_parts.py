"""What tests of windows need of the system."""

import os
import shutil
import sys
from functools import cache

from asem.plugin.display_check import probe_qt

COMMANDS = ("Xvfb", "xdotool", "setpriv")
MAX_LISTED = 4


@cache
def missing():
    """Return what is missing, in one line, or nothing; Qt is loaded in another process for it."""
    if sys.platform != "linux":
        return "tests of windows need an X server without a monitor (Xvfb), on Linux"
    try:
        report = probe_qt({**os.environ, "QT_QPA_PLATFORM": "xcb"}, start=False)
    except ValueError as error:
        return str(error)
    parts = [name for name in COMMANDS if shutil.which(name) is None] + list(report.missing)
    if parts:
        more = f" and {len(parts) - MAX_LISTED} more" if len(parts) > MAX_LISTED else ""
        listed = ", ".join(parts[:MAX_LISTED])
        return f"not installed: {listed}{more}; `bash .ci/screen` says what to do"
    return f"Qt does not load: {report.error}" if report.error else ""
