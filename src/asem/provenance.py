"""Provenance record of an output: version, command, settings and input identity."""

import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from asem import __version__
from asem.system.files import check_utf8_path, file_state


def make_provenance(command: str, request: dict[str, Any], **facts: Any) -> dict[str, Any]:
    """Return the provenance of one output as plain JSON values.

    Parameters
    ----------
    command
        Name of the command, for instance ``"predict"``.
    request
        Everything that determines the content of the output: resolved settings and the identity of
        each input.
    **facts
        Further values to record, for instance device and precision.
    """
    return {
        "asem": __version__,
        "command": command,
        "request": request,
        "facts": facts,
        "machine": f"{platform.system()} {platform.machine()}",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def identify_files(path: Path, files: Iterable[Path]) -> str:
    """Return an identity of input without a UUID: its path, and size and mtime of its files."""
    check_utf8_path(path)
    states = [(file.name, *file_state(file)) for file in files]
    lines = [f"{name} {size} {time}" for name, size, time in states]
    digest = sha256(os.fsencode("\n".join(lines))).hexdigest()[:16]
    total = sum(size for _, size, _ in states)
    return f"{path.resolve()} ({len(states)} files, {total} bytes, sizes and times {digest})"
