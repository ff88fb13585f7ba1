"""The header of a safetensors file: what it holds, without reading any of it.

::

    8 bytes: length of the header | header: {"name": {"dtype", "shape", "data_offsets"}} | data
"""

import os
from pathlib import Path

from asem.documents import parse_json
from asem.files import open_regular

MOST_HEADER = 2**24
"""Bytes; the header of a network of a hundred layers has 20,000."""
NOTE = "__metadata__"


def shapes_in(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors in a safetensors file, by their names.

    Raises
    ------
    OSError
        It cannot be opened, or is no regular file.
    ValueError
        Its header is damaged, or states more than the file has.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if length > min(MOST_HEADER, size - 8):
            raise ValueError(f"{path} is damaged: it is cut off, or no safetensors file")
        header = parse_json(file.read(length), source=str(path))
    try:
        tensors = {name: entry for name, entry in header.items() if name != NOTE}
        ends = [int(end) for entry in tensors.values() for end in entry["data_offsets"]]
        shapes = {name: tuple(map(int, entry["shape"])) for name, entry in tensors.items()}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is damaged: its header lists no tensors") from error
    if max(ends, default=0) > size - 8 - length:
        raise ValueError(f"{path} is damaged: its header states more than its {size} bytes")
    return shapes
