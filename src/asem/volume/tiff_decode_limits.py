"""Limit the decoded size of JPEG, JPEG 2000, PNG and LERC segments of TIFF pages.

These segments (strips or tiles) contain their own size, which decoders use instead of the size of
the page: seventy bytes of a tile of 16 x 16 pixels can declare billions of pixels. A segment that
declares many more pixels than its strip or tile has raises ValueError.
"""

import struct
from collections.abc import Callable
from typing import Any

import tifffile

SegmentDecoder = Callable[..., Any]
HEADER_BYTES = 2**16
"""Bytes at the start of a segment in which its size is."""
MAX_PIXEL_RATIO, MAX_EXTRA_PIXELS = 4, 2**20
"""A segment has at most ratio * (pixels of its strip or tile) + extra pixels."""
JPEG, JPEG_2000, PNG, LERC = (6, 7, 34892), (34712, 33003, 33004, 33005), (34933,), (34887,)
"""Values of the tag Compression. WebP has at most 16,384 pixels along an axis: no limit needed."""


def limit_decoded_size(page: tifffile.TiffPage) -> SegmentDecoder:
    """Return a function that decodes a segment of a page after a check of its size.

    The function raises ValueError for a segment that is too large. Segments of other compressions
    are decoded into as many bytes as the page declares.
    """
    decode: SegmentDecoder = page.decode
    compression = int(page.compression)
    read_size = next((reader for codes, reader in _SIZE_READERS if compression in codes), None)
    if read_size is None:
        return decode
    height, width = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    )
    max_pixels = MAX_PIXEL_RATIO * height * width + MAX_EXTRA_PIXELS

    def decode_checked(data: bytes | None, index: int, **options: Any) -> Any:
        if data is not None:
            rows, columns = read_size(bytes(data[:HEADER_BYTES]))
            if rows * columns > max_pixels:
                raise ValueError(
                    f"a strip or tile of {height} x {width} pixels states {rows} x {columns}"
                )
        return decode(data, index, **options)

    return decode_checked


def read_jpeg_size(header: bytes) -> tuple[int, int]:
    """Return rows and columns of a JPEG stream; 0 where the header does not contain them."""
    position = 2
    while position + 9 <= len(header) and header[position] == 0xFF:
        marker = header[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            rows, columns = struct.unpack(">HH", header[position + 5 : position + 9])
            return rows, columns
        if marker == 0xFF:  # a fill byte
            position += 1
        else:
            position += 2 + int.from_bytes(header[position + 2 : position + 4], "big")
    return 0, 0


def read_jpeg_2000_size(header: bytes) -> tuple[int, int]:
    """Return rows and columns of a JPEG 2000 codestream, with or without JP2 boxes around it."""
    start = header.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(header) < start + 24:
        return 0, 0
    right, bottom, left, top = struct.unpack(">IIII", header[start + 8 : start + 24])
    return max(0, bottom - top), max(0, right - left)


def read_png_size(header: bytes) -> tuple[int, int]:
    """Return rows and columns of a PNG stream."""
    if len(header) < 24:
        return 0, 0
    columns, rows = struct.unpack(">II", header[16:24])
    return rows, columns


def read_lerc_size(header: bytes) -> tuple[int, int]:
    """Return rows and columns of a LERC stream of version 2, with or without a checksum."""
    if not header.startswith(b"Lerc2 ") or len(header) < 22:
        return 0, 0
    (version,) = struct.unpack("<i", header[6:10])
    start = 14 if version >= 3 else 10
    rows, columns = struct.unpack("<II", header[start : start + 8])
    return rows, columns


_SIZE_READERS = (
    (JPEG, read_jpeg_size),
    (JPEG_2000, read_jpeg_2000_size),
    (PNG, read_png_size),
    (LERC, read_lerc_size),
)
