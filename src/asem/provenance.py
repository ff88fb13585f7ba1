"""What made an output: written beside it, so that a result can be traced and made again."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from asem import __version__
from asem.system.files import refuse_undecodable


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


def files_identity(path: Path, files: Iterable[Path]) -> str:
    """Identify input without a UUID by its path and by the size and time of change of its files."""
    refuse_undecodable(path)
    stats = [(file, file.stat()) for file in files]
    states = [f"{file.name} {stat.st_size} {stat.st_mtime_ns}" for file, stat in stats]
    digest = sha256(os.fsencode("\n".join(states))).hexdigest()[:16]
    size = sum(stat.st_size for _, stat in stats)
    return f"{path.resolve()} ({len(stats)} files, {size} bytes, sizes and times {digest})"
