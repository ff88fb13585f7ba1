"""TIFF files byte by byte, to state what no library would write."""

import struct

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION = 256, 257, 258, 259, 262, 270
OFFSETS, ROWS, COUNTS, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = (
    273, 278, 279, 322, 323, 324, 325,
)  # fmt: skip
SHORT, LONG, ASCII = 3, 4, 2


def page(tags, following=0):
    """Return an IFD; tags are {code: value, or (type, count, value)}, values are in the tag."""
    entries = [(code, *(v if isinstance(v, tuple) else (LONG, 1, v))) for code, v in tags.items()]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


def grey(width, length, *, offset=8, count=256, compression=1, **other):
    """Return the tags of a page of one strip of 8-bit pixels."""
    tags = {
        WIDTH: width, LENGTH: length, BITS: 8, COMPRESSION: compression, PHOTOMETRIC: 1,
        OFFSETS: offset, ROWS: length, COUNTS: count,
    }  # fmt: skip
    return {**tags, **{int(code[1:]): value for code, value in other.items()}}


def write(path, tags, *, pixels=bytes(256), following=0):
    """Write one page behind its pixels."""
    path.write_bytes(header(8 + len(pixels)) + pixels + page(tags, following))


def header(first):
    """Return the header of a file whose first page is at `first`."""
    return b"II*\0" + struct.pack("<I", first)
