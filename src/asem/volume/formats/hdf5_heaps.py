"""Check the global heaps of an HDF5 file, in which texts of variable length are stored.

::

    GCOL | version 1 | size | object | object | ... | free space
    object: index (2 bytes), references (2), 0 (4), size (8), data; index 0 is free space

The HDF5 library (2.0) reads a heap forever where free space, or an object, is stated to have such a
size that the next object starts at the same byte.
"""

import mmap
from collections.abc import Iterator
from functools import lru_cache
from struct import Struct

from asem.system.files import open_regular_file
from asem.volume.formats.single_file import SingleFile

SIGNATURE = b"GCOL\x01\0\0\0"
HEAP_HEADER = Struct("<8sQ")
OBJECT_HEADER = Struct("<HHIQ")
MAX_SCANNED_BYTES = 2**27
"""Scanned at the start and at the end of a file, where programs store metadata."""
MAX_OBJECT_BYTES = 2**32


@lru_cache(maxsize=4)
def check_global_heaps(file: SingleFile) -> None:
    """Raise ValueError where the library would read a global heap forever."""
    with (
        open_regular_file(file.path) as raw,
        mmap.mmap(raw.fileno(), 0, prot=mmap.PROT_READ) as data,
    ):
        for start in _find_heaps(data):
            _check_heap(data, start)


def _find_heaps(data: mmap.mmap) -> Iterator[int]:
    """Yield the offsets of signatures of heaps, near the start and the end of a file."""
    size = len(data)
    first_end = min(size, MAX_SCANNED_BYTES)
    for start, end in ((0, first_end), (max(first_end, size - MAX_SCANNED_BYTES), size)):
        found = data.find(SIGNATURE, start, end)
        while found >= 0:
            yield found
            found = data.find(SIGNATURE, found + 1, end)


def _check_heap(data: mmap.mmap, start: int) -> None:
    if start + HEAP_HEADER.size > len(data):
        return
    _, size = HEAP_HEADER.unpack_from(data, start)
    place, end = start + HEAP_HEADER.size, min(start + size, len(data))
    while place + OBJECT_HEADER.size <= end:
        index, _, _, length = OBJECT_HEADER.unpack_from(data, place)
        step = OBJECT_HEADER.size + (length + 7) // 8 * 8 if index else length
        if step == 0 or length > MAX_OBJECT_BYTES:
            raise ValueError(f"its texts are damaged at byte {place}")
        place += step
