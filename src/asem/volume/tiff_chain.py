"""The chain of pages of a TIFF file, walked before a library parses any of them.

::

    header -> page 1 -> page 2 -> page 3 -> 0      the end
                 ^                   |
                 +-------------------+             refused: it has no end

Each page states where the next one lies, and how many values its tags have and where. A library
believes that: it follows a chain that closes, and reads values that many pages share once a page.
"""

import os
import struct
from typing import IO, NamedTuple

from asem.system.resources import in_bytes

MOST_PAGES = 2**16
"""Of one file. A page takes 0.1 ms to parse; a longer stack is a folder of planes."""
MOST_TAGS = 4096
"""Of one page; the library reads no page with more."""
SHARED_BYTES = 4096
"""Values of a page that other pages may share (a palette has 1,536); the others lie in the file
once, so that all of them are not more than it."""
BYTES_OF = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
            16: 8, 17: 8, 18: 8}  # fmt: skip
"""Bytes of one value of each type of a tag."""


class _Form(NamedTuple):
    """How numbers are written: TIFF, or BigTIFF."""

    entries: struct.Struct
    tag: struct.Struct
    offset: struct.Struct


def refuse_endless(file: IO[bytes], name: str) -> None:
    """Raise ValueError where a file's pages have no end, or their tags more bytes than the file.

    Parameters
    ----------
    file
        Open to read; what is no TIFF file, or damaged otherwise, is left to the library.
    name
        For the message.
    """
    size = os.fstat(file.fileno()).st_size
    form = _form(file)
    if form is None:
        return
    place, seen, stated = _number(file, form.offset), dict[int, int](), 0
    while place and place not in seen:
        seen[place] = len(seen) + 1
        if len(seen) > MOST_PAGES:
            raise ValueError(f"{name} has more than {MOST_PAGES:,} pages; save one file a plane")
        file.seek(place)
        tags = _number(file, form.entries)
        if tags > MOST_TAGS:
            return
        stated += sum(
            count * BYTES_OF.get(kind, 0)
            for _, kind, count in form.tag.iter_unpack(_whole(file, tags * form.tag.size, form))
        )
        if stated > size + SHARED_BYTES * len(seen):
            raise ValueError(
                f"{name} has tags that state {in_bytes(stated)}, more than its {in_bytes(size)}; "
                "it is damaged: copy it again"
            )
        place = _number(file, form.offset)
    if place:
        raise ValueError(
            f"{name} has no end: page {seen[place]} follows page {len(seen)}; it is damaged: copy "
            "it again"
        )


def _form(file: IO[bytes]) -> _Form | None:
    """Read the header, up to the place of the first page; None where it is none of TIFF."""
    header = file.read(4)
    order = {b"II": "<", b"MM": ">"}.get(header[:2])
    if order is None or len(header) < 4:
        return None
    (magic,) = struct.unpack(f"{order}H", header[2:])
    if magic == 43:
        file.seek(8)
        parts = ("Q", "HHQ8x", "Q")
    elif magic == 42:
        parts = ("H", "HHI4x", "I")
    else:
        return None
    return _Form(*(struct.Struct(order + part) for part in parts))


def _number(file: IO[bytes], of: struct.Struct) -> int:
    """Read one number; 0 where the file ends before."""
    raw = file.read(of.size)
    return int(of.unpack(raw)[0]) if len(raw) == of.size else 0


def _whole(file: IO[bytes], length: int, form: _Form) -> bytes:
    """Read tags; none where the file ends before."""
    raw = file.read(length)
    return raw if len(raw) == length else raw[: len(raw) // form.tag.size * form.tag.size]
