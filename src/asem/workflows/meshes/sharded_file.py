"""Write files of the sharded format of neuroglancer: many values by 64-bit id in few files.

::

    shard index       start and end of each minishard index
    data              the value of each id; meshes: fragments, then the manifest, which is the value
    minishard index   ids, starts and sizes, delta-encoded, gzip

The low bits of an id are its minishard, the next ones its shard. The format is specified in
src/datasource/precomputed/sharded.md of google/neuroglancer.
"""

import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from asem.system.nofollow_files import replace_file_nofollow

IDS_PER_MINISHARD = 64
MAX_MINISHARD_BITS = 10
"""An index of 1024 minishards has 16 KB."""
SHARD_BYTES = 2**28
MAX_SHARD_BITS = 12
INDEX_ENTRY_BYTES = 16
Value = tuple[Iterable[bytes], bytes]
"""Bytes that precede a value, and the value."""


@dataclass(frozen=True)
class Sharding:
    """How ids are distributed to files.

    Parameters
    ----------
    minishard_bits, shard_bits
        Bits of an id that select the minishard and, above them, the shard.
    """

    minishard_bits: int
    shard_bits: int

    @classmethod
    def of_size(cls, ids: int, data_bytes: int) -> "Sharding":
        """Choose the number of files for ids and bytes of values.

        Examples
        --------
        >>> Sharding.of_size(20, 10**6), Sharding.of_size(10**5, 10**9)
        (Sharding(minishard_bits=0, shard_bits=0), Sharding(minishard_bits=9, shard_bits=2))
        """
        total = _bits(-(-ids // IDS_PER_MINISHARD))
        shards = max(_bits(-(-data_bytes // SHARD_BYTES)), total - MAX_MINISHARD_BITS)
        shards = min(max(shards, 0), MAX_SHARD_BITS)
        return cls(min(max(total - shards, 0), MAX_MINISHARD_BITS), shards)

    @property
    def specification(self) -> dict[str, Any]:
        """The value of ``sharding`` in an ``info`` file."""
        return {
            "@type": "neuroglancer_uint64_sharded_v1",
            "preshift_bits": 0,
            "hash": "identity",
            "minishard_bits": self.minishard_bits,
            "shard_bits": self.shard_bits,
            "minishard_index_encoding": "gzip",
            "data_encoding": "gzip",
        }

    def split(
        self, ids: npt.NDArray[np.uint64]
    ) -> Iterator[tuple[str, list[npt.NDArray[np.uint64]]]]:
        """Yield the name of each file that has ids, and the ids of its minishards, ascending."""
        minishards = ids & np.uint64((1 << self.minishard_bits) - 1)
        shards = ids >> np.uint64(self.minishard_bits) & np.uint64((1 << self.shard_bits) - 1)
        for shard in np.unique(shards):
            digits = -(-self.shard_bits // 4)
            own = shards == shard
            groups = [
                np.sort(ids[own & (minishards == minishard)])
                for minishard in range(1 << self.minishard_bits)
            ]
            yield f"{int(shard):0{digits}x}.shard", groups


def write_shard(
    path: Path,
    minishards: list[npt.NDArray[np.uint64]],
    read_value: Callable[[int], Value],
    check_before_publish: Callable[[], None],
) -> None:
    """Write a file of the values of ids; it appears when it is complete.

    Parameters
    ----------
    path
        The file.
    minishards
        Ids of each minishard, ascending.
    read_value
        Returns the value of an id, and what is stored before it.
    check_before_publish
        Raises OSError if the file may not be written any more.
    """
    with replace_file_nofollow(path, check_before_publish) as file:
        index = np.zeros((len(minishards), 2), "<u8")
        data_start = INDEX_ENTRY_BYTES * len(minishards)
        file.write(bytes(data_start))
        encoded = [_write_minishard(file, ids, read_value, data_start) for ids in minishards]
        for row, part in enumerate(encoded):
            start = file.tell() - data_start
            file.write(part)
            index[row] = start, start + len(part)
        file.seek(0)
        file.write(index.tobytes())


def _write_minishard(
    file: IO[bytes],
    ids: npt.NDArray[np.uint64],
    read_value: Callable[[int], Value],
    data_start: int,
) -> bytes:
    """Write the values of a minishard; return its encoded index."""
    if len(ids) == 0:
        return b""
    starts, sizes = [], []
    for number in ids:
        before, value = read_value(int(number))
        for part in before:
            file.write(part)
        compressed = gzip.compress(value, mtime=0)
        starts.append(file.tell() - data_start)
        sizes.append(len(compressed))
        file.write(compressed)
    ends = [0, *(start + size for start, size in zip(starts, sizes, strict=True))]
    rows = np.zeros((3, len(ids)), "<u8")
    rows[0] = np.diff(ids, prepend=np.uint64(0))
    rows[1] = np.array(starts) - np.array(ends[:-1])
    rows[2] = sizes
    return gzip.compress(rows.tobytes(), mtime=0)


def _bits(count: int) -> int:
    """Return the bits that number at least `count` values."""
    return max(count - 1, 0).bit_length()
