"""Files of a sharded array: which must exist, and whether each is regular.

A shard of zeros has no file, so that a lost file reads as zeros. Therefore, the metadata of a
finished image lists the shards that had a file when it was finished:

::

    shards      0 # # 0        #  stored: the file must exist
                0 # # #        0  only zeros: there is no file
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
    """File names of a Zarr 3 array, and which of them must exist; it can be pickled.

    Parameters
    ----------
    folder
        Folder of the array.
    shape, shard
        Shapes of the array and of a shard, the content of one file, voxels.
    max_file_bytes
        Largest size of a file, bytes.
    prefix, separator
        Parts of the names: ``c/0/1/2`` has ``c/`` and ``/``.
    shard_bitmap
        Bits of the shards that have a file (`encode_shard_bitmap`); None: any may be missing.
    """

    folder: Path
    shape: tuple[int, ...]
    shard: tuple[int, ...]
    max_file_bytes: int
    prefix: str = "c/"
    separator: str = "/"
    shard_bitmap: str | None = None

    def check_files(self, index: Any) -> None:
        """Check the files that reading `index` opens.

        One `stat` per file, which is cheap compared with opening it. Without this check, a folder
        instead of a file would read as zeros, and a pipe would block.

        Raises
        ------
        ValueError
            A stored file is missing, or a file is not regular or too large.
        """
        bounds = zip(index_bounds(index, self.shape), self.shard, strict=True)
        shards = product(*(range(low // edge, -(-high // edge)) for (low, high), edge in bounds))
        root = f"{self.folder}/{self.prefix}"
        for shard in shards:
            path = root + self.separator.join(map(str, shard))
            try:
                state = os.stat(path)  # noqa: PTH116 (a Path takes longer than the call)
            except (FileNotFoundError, NotADirectoryError):
                if self.must_exist(shard):
                    raise ValueError(
                        f"{path} is missing; it existed when the image was finished: copy "
                        "the image again, or recompute it (if another program has set this part "
                        f"to 0: delete the key 'shards' in {self.folder.parent / 'zarr.json'})"
                    ) from None
            else:
                if not stat.S_ISREG(state.st_mode):
                    raise ValueError(f"{path} is no regular file; copy the image again")
                if state.st_size > self.max_file_bytes:
                    raise ValueError(f"{path} is larger than its voxels; copy the image again")

    def must_exist(self, shard_index: Sequence[int]) -> bool:
        """Return whether the shard at `shard_index` of the grid of shards was stored."""
        if self.shard_bitmap is None:
            return False
        grid = shard_grid_of(self.shape, self.shard)
        size = -(-prod(grid) // 8)
        bits = _decode_bitmap(self.shard_bitmap, size)
        if len(bits) != size:
            raise ValueError(
                f"the list of shards of {self.folder} is damaged; copy the image again"
            )
        bit = int(np.ravel_multi_index(tuple(shard_index), grid))
        return bool(bits[bit // 8] >> (7 - bit % 8) & 1)


@lru_cache(maxsize=16)
def _decode_bitmap(shard_bitmap: str, size: int) -> bytes:
    """Return the `size` bytes of a bitmap; another number where it is damaged or too long.

    Cached, since it is called for every shard without a file.
    """
    try:
        compressed = base64.b64decode(shard_bitmap, validate=True)
        return zlib.decompressobj().decompress(compressed, size + 1)
    except (binascii.Error, ValueError, zlib.error):
        return b""


def shard_grid_of(shape: Sequence[int], shard: Sequence[int]) -> tuple[int, ...]:
    """Return the number of shards of an array along each axis."""
    return tuple(-(-size // edge) for size, edge in zip(shape, shard, strict=True))


def encode_shard_bitmap(files: ShardFiles) -> str:
    """Return which shards of an array have a file, as `ShardFiles.shard_bitmap`."""
    grid = shard_grid_of(files.shape, files.shard)
    bits = np.zeros(grid, np.bool_)
    for shard in _find_shards(files.folder / files.prefix.rstrip("/"), grid):
        bits[shard] = True
    return base64.b64encode(zlib.compress(np.packbits(bits).tobytes())).decode()


def find_stored_box(files: ShardFiles) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return the first voxel, and that behind the last, of the box of all shards that have a file.

    Returns
    -------
    tuple or None
        None where the metadata do not list the shards, or none is stored; reads no files.
    """
    grid = shard_grid_of(files.shape, files.shard)
    size = -(-prod(grid) // 8)
    bits = _decode_bitmap(files.shard_bitmap, size) if files.shard_bitmap else b""
    if len(bits) != size or not any(bits):
        return None
    stored = np.unpackbits(np.frombuffer(bits, np.uint8), count=prod(grid)).reshape(grid)
    low, high = [], []
    for axis, (edge, voxels) in enumerate(zip(files.shard, files.shape, strict=True)):
        others = tuple(other for other in range(len(grid)) if other != axis)
        indices = np.flatnonzero(stored.any(axis=others))
        low.append(int(indices[0]) * edge)
        high.append(min((int(indices[-1]) + 1) * edge, voxels))
    return tuple(low), tuple(high)


def _find_shards(folder: Path, grid: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Yield the grid indices of the files in nested folders of numbers."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.isdecimal() or int(entry.name) >= grid[0]:
                continue
            if len(grid) == 1:
                yield (int(entry.name),)
            else:
                inner = _find_shards(Path(entry.path), grid[1:])
                yield from ((int(entry.name), *shard) for shard in inner)


def index_bounds(index: Any, shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return the start and stop along each axis of an index of integers, slices and Ellipsis.

    Examples
    --------
    >>> index_bounds((slice(2, 4), ..., 7), (8, 8, 8))
    [(2, 4), (0, 8), (7, 8)]
    """
    parts = index if isinstance(index, tuple) else (index,)
    before = next((n for n, part in enumerate(parts) if part is Ellipsis), len(parts))
    after = parts[before + 1 :]
    parts = (*parts[:before], *[slice(None)] * (len(shape) - before - len(after)), *after)
    return [_part_bounds(part, size) for part, size in zip(parts, shape, strict=True)]


def _part_bounds(part: Any, size: int) -> tuple[int, int]:
    if isinstance(part, slice):
        indices = range(*part.indices(size))
        if not indices:
            return 0, 0
        return min(indices[0], indices[-1]), max(indices[0], indices[-1]) + 1
    return (int(part), int(part) + 1)
