"""Check the chain of image file directories (IFDs) of a TIFF file before tifffile parses it.

::

    header -> page 1 -> page 2 -> page 3 -> 0      the end
                 ^                   |
                 +-------------------+             error: a cycle

Each page contains the offset of the next one, and the counts and offsets of the values of its tags.
tifffile does not check them: it follows a cycle, and reads shared values again for each page.
"""

import os
import struct
from typing import IO, NamedTuple

from asem.system.resources import format_bytes

MAX_PAGES = 2**16
"""Of one file. A page takes 0.1 ms to parse; longer stacks are folders of planes."""
MAX_TAGS = 4096
"""Of one page; tifffile reads no page with more."""
MAX_SHARED_BYTES = 4096
"""Bytes of values that a page may share with others (a palette has 1,536). Other values are stored
once per page, so that their sum is at most the size of the file."""
TAG_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
            16: 8, 17: 8, 18: 8}  # fmt: skip
"""Bytes of one value of each type of a tag."""


class _IfdFormat(NamedTuple):
    """Binary layout of an IFD: TIFF or BigTIFF, little- or big-endian."""

    tag_count: struct.Struct
    tag: struct.Struct
    offset: struct.Struct


def check_ifd_chain(file: IO[bytes], name: str) -> None:
    """Raise ValueError where the pages of a file form a cycle, or their tags exceed the file.

    Parameters
    ----------
    file
        Open to read. Other errors (no TIFF file, other damage) are left to tifffile.
    name
        For the message.
    """
    size = os.fstat(file.fileno()).st_size
    layout = _read_ifd_format(file)
    if layout is None:
        return
    offset, seen, tag_bytes = _read_number(file, layout.offset), dict[int, int](), 0
    while offset and offset not in seen:
        seen[offset] = len(seen) + 1
        if len(seen) > MAX_PAGES:
            raise ValueError(f"{name} has more than {MAX_PAGES:,} pages; save one file per plane")
        file.seek(offset)
        tag_count = _read_number(file, layout.tag_count)
        if tag_count > MAX_TAGS:
            return
        tags = _read_tags(file, tag_count * layout.tag.size, layout)
        tag_bytes += sum(
            count * TAG_TYPE_BYTES.get(tag_type, 0)
            for _, tag_type, count in layout.tag.iter_unpack(tags)
        )
        if tag_bytes > size + MAX_SHARED_BYTES * len(seen):
            raise ValueError(
                f"{name} has tags that state {format_bytes(tag_bytes)}, more than its "
                f"{format_bytes(size)}; it is damaged: copy it again"
            )
        offset = _read_number(file, layout.offset)
    if offset:
        raise ValueError(
            f"{name} has no end: page {seen[offset]} follows page {len(seen)}; it is damaged: copy "
            "it again"
        )


def _read_ifd_format(file: IO[bytes]) -> _IfdFormat | None:
    """Read the header, up to the offset of the first page; None where it is no TIFF header."""
    header = file.read(4)
    order = {b"II": "<", b"MM": ">"}.get(header[:2])
    if order is None or len(header) < 4:
        return None
    (magic,) = struct.unpack(f"{order}H", header[2:])
    if magic == 43:
        file.seek(8)
        formats = ("Q", "HHQ8x", "Q")
    elif magic == 42:
        formats = ("H", "HHI4x", "I")
    else:
        return None
    return _IfdFormat(*(struct.Struct(order + text) for text in formats))


def _read_number(file: IO[bytes], layout: struct.Struct) -> int:
    """Read one number; 0 where the file ends before."""
    raw = file.read(layout.size)
    return int(layout.unpack(raw)[0]) if len(raw) == layout.size else 0


def _read_tags(file: IO[bytes], length: int, layout: _IfdFormat) -> bytes:
    """Read tags, or the complete ones of them where the file ends before."""
    raw = file.read(length)
    return raw if len(raw) == length else raw[: len(raw) // layout.tag.size * layout.tag.size]
