"""Whether a finished image was made by a request, so that a repeated command need not write it."""

from pathlib import Path
from typing import Any

from asem.volume import ngff


def is_made_by(image: Path, command: str, request: dict[str, Any]) -> bool:
    """Return whether there is a finished image at a path that a command made from a request."""
    if not ngff.is_image(image):
        return False
    made_by = ngff.read_image_metadata(image).asem_metadata.made_by or {}
    return bool(made_by.get("command") == command and made_by.get("request") == request)
