"""Strips and tiles that are images of their own, which state their size once more.

A decoder of JPEG or PNG makes what the stream states, not what the page does: seventy bytes of a
tile of 16 x 16 pixels can state billions. What is much larger than its strip or tile is refused.
"""

import struct
from collections.abc import Callable
from typing import Any

import tifffile

Decode = Callable[..., Any]
HEAD = 2**16
"""Bytes in which a stream states its size."""
MOST_BEYOND, SLACK = 4, 2**20
"""Times as many pixels as the strip or tile that a stream may have, and besides."""
JPEG, JPEG_2000, PNG, LERC = (6, 7, 34892), (34712, 33003, 33004, 33005), (34933,), (34887,)
"""Values of the tag Compression. WebP has at most 16,384 pixels along an axis."""


def bounded(page: tifffile.TiffPage) -> Decode:
    """Return the function that decodes a segment of a page, with its size checked before.

    It raises ValueError for a stream that is larger than its strip or tile; those of other
    compressions are decoded into as many bytes as the page states.
    """
    decode: Decode = page.decode
    compression = int(page.compression)
    size_of = next((of for codes, of in _SIZES if compression in codes), None)
    if size_of is None:
        return decode
    height, width = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    )
    most = MOST_BEYOND * height * width + SLACK

    def checked(data: bytes | None, index: int, **options: Any) -> Any:
        if data is not None:
            rows, columns = size_of(bytes(data[:HEAD]))
            if rows * columns > most:
                raise ValueError(
                    f"a strip or tile of {height} x {width} pixels states {rows} x {columns}"
                )
        return decode(data, index, **options)

    return checked


def jpeg_size(head: bytes) -> tuple[int, int]:
    """Return rows and columns that a JPEG stream states; 0 where its head does not."""
    place = 2
    while place + 9 <= len(head) and head[place] == 0xFF:
        marker = head[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            rows, columns = struct.unpack(">HH", head[place + 5 : place + 9])
            return rows, columns
        if marker == 0xFF:  # a byte that fills
            place += 1
        else:
            place += 2 + int.from_bytes(head[place + 2 : place + 4], "big")
    return 0, 0


def jpeg_2000_size(head: bytes) -> tuple[int, int]:
    """Return rows and columns of a JPEG 2000 stream, with or without boxes around it."""
    start = head.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(head) < start + 24:
        return 0, 0
    right, bottom, left, top = struct.unpack(">IIII", head[start + 8 : start + 24])
    return max(0, bottom - top), max(0, right - left)


def png_size(head: bytes) -> tuple[int, int]:
    """Return rows and columns of a PNG stream."""
    if len(head) < 24:
        return 0, 0
    columns, rows = struct.unpack(">II", head[16:24])
    return rows, columns


def lerc_size(head: bytes) -> tuple[int, int]:
    """Return rows and columns of a LERC stream of version 2, in which a checksum may stand."""
    if not head.startswith(b"Lerc2 ") or len(head) < 22:
        return 0, 0
    (version,) = struct.unpack("<i", head[6:10])
    start = 14 if version >= 3 else 10
    rows, columns = struct.unpack("<II", head[start : start + 8])
    return rows, columns


_SIZES = ((JPEG, jpeg_size), (JPEG_2000, jpeg_2000_size), (PNG, png_size), (LERC, lerc_size))
