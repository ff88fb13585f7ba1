"""Arrays on disk: Zarr 3 in shards with checksums, read and written by tensorstore."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorstore as ts

from asem.system.documents import read_json
from asem.system.files import refuse_undecodable
from asem.system.resources import free_memory, in_bytes
from asem.volume.levels import Level
from asem.volume.roi import Triple, extent
from asem.volume.shard_files import ShardFiles, spans

DTYPES = (
    "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32",
    "float64",
)  # fmt: skip
CHUNK: Triple = (64, 64, 64)
SHARD: Triple = (256, 256, 256)
MOST_CHUNK = 2**31
"""Bytes of a chunk, which is decoded as a whole; no usual compressor takes more. Where a quarter of
the free memory is more, that."""
MOST_INDEX = 2**24
"""Chunks of a shard, whose index is read as a whole, 16 bytes each."""
MOST_OVERHEAD = 2**12
"""Bytes of a chunk or an index beyond twice its voxels: a larger file is no shard, but would be
read as a whole."""
LEAST_CHUNK, MOST_SMALL = 64, 2**20
"""Voxels of a chunk, and chunks of an array whose chunks are smaller: each is looked up."""


class Promise(Protocol):
    """A write that goes on."""

    def result(self) -> Any:
        """Return when it is stored; raises ValueError or OSError if it cannot be."""


def create_level(
    image: Path,
    level: Level,
    dtype: np.dtype[Any],
    *,
    labels: bool,
    claim: Callable[[], None] | None = None,
) -> "Stored":
    """Create (or open, if it is there) the array of one level.

    Images are compressed for speed, labels for size. Every chunk has a checksum, since neither
    codec notices damage. Symbolic links are followed: whoever creates an array has refused them.
    """
    sharding = {
        "chunk_shape": CHUNK,
        "codecs": _codecs(dtype, "zstd" if labels else "lz4", 5),
        "index_codecs": [{"name": "bytes", "configuration": _LITTLE}, {"name": "crc32c"}],
    }
    codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    metadata = _metadata(level.shape, dtype, SHARD, codecs, names=["z", "y", "x"])
    return _create(image / level.path, metadata, claim)


def create_scratch(
    path: Path,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    chunk: tuple[int, ...],
    *,
    claim: Callable[[], None] | None = None,
) -> "Stored":
    """Create (or open) an array of what is kept between two passes; each chunk is one file."""
    dtype = np.dtype(dtype)
    return _create(path, _metadata(shape, dtype, chunk, _codecs(dtype, "zstd", 1)), claim)


def _codecs(dtype: np.dtype[Any], compressor: str, level: int) -> list[dict[str, Any]]:
    """Return what a chunk goes through; blosc by itself notices no damage."""
    blosc = {"cname": compressor, "clevel": level, "shuffle": "bitshuffle"}
    return [
        {"name": "bytes"} if dtype.itemsize == 1 else {"name": "bytes", "configuration": _LITTLE},
        {"name": "blosc", "configuration": blosc},
        {"name": "crc32c"},
    ]


def _metadata(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    file: tuple[int, ...],
    codecs: list[dict[str, Any]],
    *,
    names: list[str] | None = None,
) -> dict[str, Any]:
    metadata = {
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(file)}},
        "codecs": codecs,
        "fill_value": 0,
    }
    return metadata | ({"dimension_names": names} if names else {})


def _create(
    path: Path, metadata: dict[str, Any], claim: Callable[[], None] | None = None
) -> "Stored":
    spec = {"driver": "zarr3", "kvstore": _kvstore(path), "metadata": metadata}
    try:
        store = ts.open(spec, open=True, create=True).result()
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged or another array: {_first_line(error)}; give --overwrite to begin "
            "again"
        ) from error
    return Stored(path, store, _files(path, store, metadata), claim)


def _kvstore(array: Path) -> dict[str, str]:
    """Name a folder to tensorstore, which takes neither `..` nor a relative path, only UTF-8."""
    refuse_undecodable(array)
    return {"driver": "file", "path": f"{array.resolve()}/"}


_LITTLE = {"endian": "little"}


def open_array(path: Path, *, stored: str | None = None) -> "Stored":
    """Open a Zarr 3 array to read.

    Parameters
    ----------
    path
        Its folder.
    stored
        Which of its shards have a file (`asem.volume.shard_files.record_shards`), where a finished
        image states it.

    Raises
    ------
    ValueError
        It cannot be read, or its chunks are too large or too small to be read.
    """
    spec = {"driver": "zarr3", "kvstore": _kvstore(path)}
    if not (path / "zarr.json").exists():
        raise ValueError(f"{path} cannot be read: its zarr.json is missing")
    metadata = read_json(path / "zarr.json")  # a regular file of a size and depth that exist
    try:
        store = ts.open(spec, read=True).result()
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {_first_line(error)}") from error
    array = Stored(path, store, _files(path, store, metadata, stored))
    _refuse_chunks(array)
    return array


def _files(
    path: Path, store: Any, metadata: dict[str, Any], stored: str | None = None
) -> ShardFiles:
    """Return how the files of an array are called; `metadata` was read by tensorstore before."""
    encoding = metadata.get("chunk_key_encoding", "default")
    table = encoding if isinstance(encoding, dict) else {"name": encoding}
    default = table["name"] == "default"
    given = table.get("configuration", {}).get("separator", "/" if default else ".")
    layout = store.chunk_layout
    edges = tuple(layout.write_chunk.shape)
    chunks = prod(edges) // prod(layout.read_chunk.shape)
    most = 2 * prod(edges) * store.dtype.numpy_dtype.itemsize + MOST_OVERHEAD * (1 + chunks)
    prefix = f"c{given}" if default else ""
    return ShardFiles(path.resolve(), tuple(store.shape), edges, most, prefix, given, stored)


def _refuse_chunks(array: "Stored") -> None:
    """Raise ValueError where reading any voxel takes too much memory, or too many files."""
    chunk, shard = prod(array.chunk), prod(array.shard)
    size = chunk * array.dtype.itemsize
    if size > max(MOST_CHUNK, free_memory() // 4):
        raise ValueError(
            f"{array.path} has chunks of {extent(array.chunk)} voxels, {in_bytes(size)} each; "
            f"save it in chunks of about {extent(CHUNK)}"
        )
    chunks = prod(-(-n // c) for n, c in zip(array.shape, array.chunk, strict=True))
    if shard // chunk > MOST_INDEX or (chunk < LEAST_CHUNK and chunks > MOST_SMALL):
        raise ValueError(
            f"{array.path} has chunks of {extent(array.chunk)} voxels in files of "
            f"{extent(array.shard)}, too many to find any; save it in chunks of about "
            f"{extent(CHUNK)}"
        )


@dataclass(frozen=True)
class Stored:
    """An array on disk, which says where it is damaged; it can be pickled.

    Parameters
    ----------
    path
        Its folder.
    store
        The tensorstore array.
    files
        Its files, which are checked before they are read.
    claim
        Called before each write; it raises OSError where nothing may be written any more.
    """

    path: Path
    store: Any
    files: ShardFiles
    claim: Callable[[], None] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return tuple(self.store.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels."""
        dtype: np.dtype[Any] = np.dtype(self.store.dtype.numpy_dtype)
        return dtype

    @property
    def chunk(self) -> tuple[int, ...]:
        """What is read at least, voxels."""
        return tuple(self.store.chunk_layout.read_chunk.shape)

    @property
    def shard(self) -> tuple[int, ...]:
        """What one file holds, voxels."""
        return tuple(self.store.chunk_layout.write_chunk.shape)

    def __getitem__(self, index: Any, /) -> npt.NDArray[Any]:
        """Read whole numbers and slices.

        Raises
        ------
        ValueError
            A chunk is damaged, or a file missing; the message names it.
        """
        self.files.check(index)
        try:
            return np.asarray(self.store[index])
        except ValueError as error:
            raise ValueError(self._damage(index, error)) from error

    def write(self, index: tuple[slice, ...], values: npt.NDArray[Any]) -> Promise:
        """Begin to write a box; `values` must not change until it is stored.

        Returns
        -------
        Promise
            Its ``result()`` returns when the box is stored, and raises what went wrong.
        """
        if self.claim is not None:
            self.claim()
        promise: Promise = self.store[index].write(values)
        return promise

    def _damage(self, index: Any, error: ValueError) -> str:
        """Find the first chunk of a box that cannot be read."""
        edges = zip(spans(index, self.shape), self.chunk, strict=True)
        starts = [range(low // c * c, high, c) for (low, high), c in edges]
        for corner in product(*starts):
            sizes = zip(corner, self.chunk, self.shape, strict=True)
            chunk = tuple(slice(o, min(o + c, n)) for o, c, n in sizes)
            try:
                self.store[chunk].read().result()
            except ValueError as fault:
                box = ",".join(f"{part.start}:{part.stop}" for part in chunk)
                return f"{self.path}: chunk {box} is damaged ({_first_line(fault)})"
        return f"{self.path} cannot be read: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].split(" [")[0]
