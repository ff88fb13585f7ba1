"""What made an output: written beside it, so that a result can be traced and made again."""

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asem import __version__


def made_by(command: str, request: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """Describe the making of one output as plain JSON values.

    Parameters
    ----------
    command
        The verb, for instance ``"predict"``.
    request
        Everything that decides the content of the output: resolved settings and the identity of
        each input.
    **facts
        What else is worth keeping, for instance device and precision.
    """
    return {
        "asem": __version__,
        "command": command,
        "request": request,
        "facts": facts,
        "machine": f"{platform.system()} {platform.machine()}",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def file_identity(path: Path) -> str:
    """Identify a file or folder without a UUID: its path, size and time of change.

    A folder counts the entries directly in it.
    """
    entries = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [entry.stat() for entry in entries]
    size = sum(stat.st_size for stat in stats)
    newest = max((stat.st_mtime_ns for stat in stats), default=0)
    return f"{path.resolve()} ({len(entries)} files, {size} bytes, changed {newest} ns)"
