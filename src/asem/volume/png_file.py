"""Read a PNG file: header with checks before memory is allocated, stored values of its pixels.

::

    signature   IHDR   PLTE, tRNS, gAMA, tEXt, ...   IDAT   IDAT   IEND
                size   palette, display               pixels

Only IHDR and IDAT are decoded: palettes, transparent colours, gamma and profiles change colours for
display, not the stored values. (PNG specification, third edition, sections 5 and 11.)
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import imagecodecs
import numpy as np
import numpy.typing as npt

from asem.system.files import file_state, open_regular_file
from asem.system.resources import format_bytes

SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = struct.pack(">I4sI", 0, b"IEND", zlib.crc32(b"IEND"))
HEADER_BYTES = len(SIGNATURE) + 25
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
"""Colour types."""
SAMPLES = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
ALLOWED_BITS = {
    GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGBA: (8, 16),
}  # fmt: skip
MAX_DEFLATE_RATIO = 1032
"""Decoded bytes per stored byte."""
SOFTWARE_CHUNK = b"Software\0asem"


@dataclass(frozen=True)
class PngHeader:
    """Header of a PNG file.

    Parameters
    ----------
    path
        The file.
    shape
        Rows and columns.
    bits
        Bits per sample.
    colour_type
        `GREY`, `RGB`, `PALETTE`, `GREY_ALPHA` or `RGBA`.
    file_state
        Size and time of change (ns) of the file.
    """

    path: Path
    shape: tuple[int, int]
    bits: int
    colour_type: int
    file_state: tuple[int, int]

    @property
    def samples(self) -> int:
        """Samples per pixel, alpha included."""
        return SAMPLES[self.colour_type]

    @property
    def has_alpha(self) -> bool:
        """Whether the last sample is opacity."""
        return self.colour_type in (GREY_ALPHA, RGBA)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a sample."""
        return np.dtype(np.uint16 if self.bits == 16 else np.uint8)

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the decoded pixels of all samples."""
        return self.shape[0] * self.shape[1] * self.samples * self.dtype.itemsize


def read_png_header(path: Path) -> PngHeader:
    """Read the header of a file and check that the file can hold its pixels.

    Raises
    ------
    ValueError
        It is no PNG file, or is truncated or damaged; the message names it.
    """
    state = file_state(path)
    with open_regular_file(path) as file:
        start = file.read(HEADER_BYTES)
        if not start.startswith(SIGNATURE):
            raise ValueError(f"{path} is no PNG file; remove it, or save it as PNG")
        if len(start) < HEADER_BYTES or not _has_end(file, state[0]):
            raise ValueError(f"{path} is truncated: its end is missing; copy it again")
    length, kind, content, checksum = struct.unpack(">I4s13sI", start[len(SIGNATURE) :])
    width, height, bits, colour_type, *methods = struct.unpack(">IIBBBBB", content)
    is_valid = bits in ALLOWED_BITS.get(colour_type, ()) and methods in ([0, 0, 0], [0, 0, 1])
    if length != 13 or kind != b"IHDR" or checksum != zlib.crc32(kind + content) or not is_valid:
        raise ValueError(f"{path} is damaged: its header is no PNG header; copy it again")
    header = PngHeader(path, (height, width), bits, colour_type, state)
    row_bytes = 1 + -(-width * header.samples * bits // 8)
    if not width or not height or height * row_bytes > MAX_DEFLATE_RATIO * state[0]:
        raise ValueError(
            f"{path} states {height} x {width} pixels of {header.samples * bits} bits, but holds "
            f"{format_bytes(state[0])}; copy it again"
        )
    return header


def read_png_samples(header: PngHeader) -> npt.NDArray[Any]:
    """Read the stored values of all samples, shape (y, x, sample); of a palette, its indices.

    Raises
    ------
    ValueError
        The file is damaged; the message names it.
    """
    with open_regular_file(header.path) as file:
        content = file.read()
    try:
        pixels = imagecodecs.png_decode(_without_display_chunks(content, header))
        samples: npt.NDArray[Any] = np.asarray(pixels).reshape(*header.shape, header.samples)
    except (imagecodecs.PngError, ValueError) as error:
        raise ValueError(f"{header.path} is damaged ({error}); copy it again") from error
    if header.bits < 8:
        samples //= 255 // (2**header.bits - 1)  # libpng expands them to 0 to 255
    return samples


def add_header_chunks(encoded: bytes, pixel_size_yx: tuple[float, float]) -> bytes:
    """Return an encoded PNG file with the pixel size, nm, and asem as the software.

    Parameters
    ----------
    encoded
        The file.
    pixel_size_yx
        nm; stored as pixels per metre, where that is a 32-bit integer (from 0.5 nm).
    """
    per_metre = [round(1e9 / size) for size in reversed(pixel_size_yx)]
    chunks = [_make_chunk(b"tEXt", SOFTWARE_CHUNK)]
    if all(1 <= number < 2**31 for number in per_metre):
        chunks.append(_make_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    return encoded[:HEADER_BYTES] + b"".join(chunks) + encoded[HEADER_BYTES:]


def is_written_by_asem(path: Path) -> bool:
    """Whether a file is a PNG file with asem as its software."""
    with open_regular_file(path) as file:
        start = file.read(HEADER_BYTES + 8 + len(SOFTWARE_CHUNK))
    return start.startswith(SIGNATURE) and start.endswith(b"tEXt" + SOFTWARE_CHUNK)


def _make_chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _without_display_chunks(content: bytes, header: PngHeader) -> bytes:
    """Return a file without chunks for display, and with indices of a palette as grey values."""
    start = content[:HEADER_BYTES]
    if header.colour_type == PALETTE:
        ihdr = bytearray(start[len(SIGNATURE) + 8 : HEADER_BYTES - 4])
        ihdr[9] = GREY
        start = SIGNATURE + _make_chunk(b"IHDR", bytes(ihdr))
    pixels = (chunk for kind, chunk in _iterate_chunks(content) if kind == b"IDAT")
    return b"".join((start, *pixels, END))


def _iterate_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield kind and bytes of the chunks after the header, up to the first truncated one."""
    position, view = HEADER_BYTES, memoryview(content)
    while position + 12 <= len(content):
        length, kind = struct.unpack(">I4s", content[position : position + 8])
        end = position + 12 + length
        if kind == b"IEND" or end > len(content):
            return
        yield kind, view[position:end]
        position = end


def _has_end(file: IO[bytes], size: int) -> bool:
    """Whether a file contains its last chunk, after which other bytes may follow."""
    file.seek(max(0, size - len(END)))
    if file.read() == END:
        return True
    position = HEADER_BYTES
    while position + 12 <= size:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"IEND":
            return True
        position += 12 + length
    return False
