"""The files of an array: which there are, which there must be, and that each is a regular one.

A shard of zeros has no file, so that a file that was lost reads as zeros. A finished image states
which shards had a file when it was finished:

::

    shards      0 # # 0        #  stored: the file must be there
                0 # # #        0  nothing but zeros: there is none
    bits        0110 0111      in (z, y, x) order, zlib, base64
"""

import base64
import binascii
import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ShardFiles:
    """Names of the files of a Zarr 3 array, and which of them must exist; it can be pickled.

    Parameters
    ----------
    folder
        Of the array.
    shape, edges
        Of the array and of what one file holds, voxels.
    most
        Bytes that a file may have.
    prefix, separator
        Of the names: ``c/0/1/2`` has ``c/`` and ``/``.
    stored
        Bits of the shards that have a file (`record_shards`); None: any may lack.
    """

    folder: Path
    shape: tuple[int, ...]
    edges: tuple[int, ...]
    most: int
    prefix: str = "c/"
    separator: str = "/"
    stored: str | None = None

    def check(self, index: Any) -> None:
        """Check the files that reading `index` opens.

        Each is looked up once, which costs little beside opening it: a folder in its place reads
        as zeros, and a pipe never.

        Raises
        ------
        ValueError
            One that was stored is missing, or one is no regular file, or far too large.
        """
        starts = zip(spans(index, self.shape), self.edges, strict=True)
        cells = product(*(range(low // e, -(-high // e)) for (low, high), e in starts))
        root = f"{self.folder}/{self.prefix}"
        for cell in cells:
            path = root + self.separator.join(map(str, cell))
            try:
                state = os.stat(path)  # noqa: PTH116 (a Path takes longer than the call)
            except (FileNotFoundError, NotADirectoryError):
                if self.must_exist(cell):
                    raise ValueError(
                        f"{path} is missing, which was stored when the image was finished; copy "
                        "the image again, or make it anew (if another program has set this part "
                        f"to 0: delete the key 'shards' in {self.folder.parent / 'zarr.json'})"
                    ) from None
            else:
                if not stat.S_ISREG(state.st_mode):
                    raise ValueError(f"{path} is no regular file; copy the image again")
                if state.st_size > self.most:
                    raise ValueError(f"{path} is larger than its voxels; copy the image again")

    def must_exist(self, cell: Sequence[int]) -> bool:
        """Whether the shard at `cell` of the grid of shards was stored."""
        if self.stored is None:
            return False
        grid = grid_of(self.shape, self.edges)
        size = -(-prod(grid) // 8)
        bits = _bits(self.stored, size)
        if len(bits) != size:
            raise ValueError(
                f"the list of shards of {self.folder} is damaged; copy the image again"
            )
        number = int(np.ravel_multi_index(tuple(cell), grid))
        return bool(bits[number // 8] >> (7 - number % 8) & 1)


@lru_cache(maxsize=16)
def _bits(stored: str, size: int) -> bytes:
    """Return the bits of a record, unpacked; of a damaged one, or of one too long, another number.

    They are asked for at every shard that is not there.
    """
    try:
        packed = base64.b64decode(stored, validate=True)
        return zlib.decompressobj().decompress(packed, size + 1)
    except (binascii.Error, ValueError, zlib.error):
        return b""


def grid_of(shape: Sequence[int], edges: Sequence[int]) -> tuple[int, ...]:
    """Return how many files an array has along each axis."""
    return tuple(-(-size // edge) for size, edge in zip(shape, edges, strict=True))


def record_shards(files: ShardFiles) -> str:
    """Return which shards of an array have a file, as `ShardFiles.stored`; one listing of them."""
    grid = grid_of(files.shape, files.edges)
    bits = np.zeros(grid, np.bool_)
    for cell in _cells(files.folder / files.prefix.rstrip("/"), grid):
        bits[cell] = True
    return base64.b64encode(zlib.compress(np.packbits(bits).tobytes())).decode()


def _cells(folder: Path, grid: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the places of the files in nested folders of numbers."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.isdecimal() or int(entry.name) >= grid[0]:
                continue
            if len(grid) == 1:
                yield (int(entry.name),)
            else:
                inner = _cells(Path(entry.path), grid[1:])
                yield from ((int(entry.name), *cell) for cell in inner)


def spans(index: Any, shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return what an index of whole numbers, slices and dots reads of each axis: from, to.

    Examples
    --------
    >>> spans((slice(2, 4), ..., 7), (8, 8, 8))
    [(2, 4), (0, 8), (7, 8)]
    """
    parts = index if isinstance(index, tuple) else (index,)
    dots = next((n for n, part in enumerate(parts) if part is Ellipsis), len(parts))
    after = parts[dots + 1 :]
    parts = (*parts[:dots], *[slice(None)] * (len(shape) - dots - len(after)), *after)
    return [_span(part, size) for part, size in zip(parts, shape, strict=True)]


def _span(part: Any, size: int) -> tuple[int, int]:
    if isinstance(part, slice):
        places = range(*part.indices(size))
        return (min(places[0], places[-1]), max(places[0], places[-1]) + 1) if places else (0, 0)
    return (int(part), int(part) + 1)
