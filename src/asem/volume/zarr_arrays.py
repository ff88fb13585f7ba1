"""Sharded Zarr 3 arrays with checksums, read and written with tensorstore."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorstore as ts

from asem.system.files import check_utf8_path
from asem.system.json_toml import read_json
from asem.volume.chunk_limits import CHUNK, check_chunks
from asem.volume.pyramid_levels import PyramidLevel
from asem.volume.roi import IntZYX, format_shape
from asem.volume.shard_files import ShardFiles, index_bounds

DTYPES = (
    "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32",
    "float64",
)  # fmt: skip
SHARD: IntZYX = (256, 256, 256)
MAX_CHUNKS_PER_SHARD = 2**24
"""Largest number of chunks per shard, whose index, 16 bytes per chunk, is read as a whole."""
MAX_OVERHEAD_BYTES = 2**12
"""Bytes of a chunk or an index beyond twice its voxels; a larger file is not a shard and is not
read."""


class WriteFuture(Protocol):
    """A pending write."""

    def result(self) -> Any:
        """Return when the data is stored; raise ValueError or OSError if that fails."""


def create_level(
    image: Path,
    level: PyramidLevel,
    dtype: np.dtype[Any],
    *,
    is_labels: bool,
    check_ownership: Callable[[], None] | None = None,
) -> "ZarrArray":
    """Create the array of one level, or open it if it exists.

    Images are compressed for speed, labels for size. Every chunk has a checksum, since neither
    codec detects damage. Symbolic links are followed: the caller has checked that there are none.
    """
    sharding = {
        "chunk_shape": CHUNK,
        "codecs": _codecs(dtype, "zstd" if is_labels else "lz4", 5),
        "index_codecs": [{"name": "bytes", "configuration": _LITTLE_ENDIAN}, {"name": "crc32c"}],
    }
    codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    metadata = _metadata(level.shape, dtype, SHARD, codecs, names=["z", "y", "x"])
    return _create_array(image / level.path, metadata, check_ownership)


def create_scratch(
    path: Path,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    chunk: tuple[int, ...],
    *,
    check_ownership: Callable[[], None] | None = None,
) -> "ZarrArray":
    """Create or open an array of intermediate results; each chunk is one file."""
    dtype = np.dtype(dtype)
    return _create_array(
        path, _metadata(shape, dtype, chunk, _codecs(dtype, "zstd", 1)), check_ownership
    )


def _codecs(dtype: np.dtype[Any], compressor: str, level: int) -> list[dict[str, Any]]:
    """Return the codecs of a chunk; blosc alone does not detect damage."""
    blosc = {"cname": compressor, "clevel": level, "shuffle": "bitshuffle"}
    return [
        {"name": "bytes"}
        if dtype.itemsize == 1
        else {"name": "bytes", "configuration": _LITTLE_ENDIAN},
        {"name": "blosc", "configuration": blosc},
        {"name": "crc32c"},
    ]


def _metadata(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    shard: tuple[int, ...],
    codecs: list[dict[str, Any]],
    *,
    names: list[str] | None = None,
) -> dict[str, Any]:
    metadata = {
        "shape": list(shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shard)}},
        "codecs": codecs,
        "fill_value": 0,
    }
    return metadata | ({"dimension_names": names} if names else {})


def _create_array(
    path: Path, metadata: dict[str, Any], claim: Callable[[], None] | None = None
) -> "ZarrArray":
    spec = {"driver": "zarr3", "kvstore": _kvstore(path), "metadata": metadata}
    try:
        store = ts.open(spec, open=True, create=True).result()
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged or another array: {_first_line(error)}; give --overwrite to restart"
        ) from error
    return ZarrArray(path, store, _shard_files(path, store, metadata), claim)


def _kvstore(array: Path) -> dict[str, str]:
    """Return the key-value store of a folder; tensorstore requires an absolute UTF-8 path."""
    check_utf8_path(array)
    return {"driver": "file", "path": f"{array.resolve()}/"}


_LITTLE_ENDIAN = {"endian": "little"}


def open_array(path: Path, *, shard_bitmap: str | None = None) -> "ZarrArray":
    """Open a Zarr 3 array to read.

    Parameters
    ----------
    path
        Its folder.
    shard_bitmap
        Which of its shards have a file (`asem.volume.shard_files.encode_shard_bitmap`), where a
        finished image states it.

    Raises
    ------
    ValueError
        The array cannot be read, or its chunks are too large or too small to be read.
    """
    spec = {"driver": "zarr3", "kvstore": _kvstore(path)}
    if not (path / "zarr.json").exists():
        raise ValueError(f"{path} cannot be read: its zarr.json is missing")
    metadata = read_json(path / "zarr.json")  # checks that size and nesting are reasonable
    try:
        store = ts.open(spec, read=True).result()
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {_first_line(error)}") from error
    array = ZarrArray(path, store, _shard_files(path, store, metadata, shard_bitmap))
    _check_chunk_sizes(array)
    return array


def _shard_files(
    path: Path, store: Any, metadata: dict[str, Any], shard_bitmap: str | None = None
) -> ShardFiles:
    """Return the file names of an array; tensorstore has validated `metadata` before."""
    encoding = metadata.get("chunk_key_encoding", "default")
    table = encoding if isinstance(encoding, dict) else {"name": encoding}
    default = table["name"] == "default"
    separator = table.get("configuration", {}).get("separator", "/" if default else ".")
    layout = store.chunk_layout
    shard = tuple(layout.write_chunk.shape)
    chunks = prod(shard) // prod(layout.read_chunk.shape)
    overhead = MAX_OVERHEAD_BYTES * (1 + chunks)
    max_file_bytes = 2 * prod(shard) * store.dtype.numpy_dtype.itemsize + overhead
    return ShardFiles(
        path.resolve(),
        tuple(store.shape),
        shard,
        max_file_bytes,
        prefix=f"c{separator}" if default else "",
        separator=separator,
        shard_bitmap=shard_bitmap,
    )


def _check_chunk_sizes(array: "ZarrArray") -> None:
    """Raise ValueError where reading a voxel needs too much memory, or too many files."""
    check_chunks(array.path, array.shape, array.chunk, array.dtype.itemsize)
    if prod(array.shard) // prod(array.chunk) > MAX_CHUNKS_PER_SHARD:
        raise ValueError(
            f"{array.path} has chunks of {format_shape(array.chunk)} voxels in files of "
            f"{format_shape(array.shard)}, too many to be read; save it in chunks of about "
            f"{format_shape(CHUNK)}"
        )


@dataclass(frozen=True)
class ZarrArray:
    """Array on disk, whose errors name the damaged chunk; it can be pickled.

    Parameters
    ----------
    path
        Its folder.
    store
        The tensorstore array.
    files
        Its files, which are checked before they are read.
    check_ownership
        Called before each write; raises OSError where this process may no longer write.
    """

    path: Path
    store: Any
    files: ShardFiles
    check_ownership: Callable[[], None] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return tuple(self.store.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Numpy dtype of the voxels."""
        dtype: np.dtype[Any] = np.dtype(self.store.dtype.numpy_dtype)
        return dtype

    @property
    def chunk(self) -> tuple[int, ...]:
        """Shape of a chunk, the smallest unit that is read, voxels."""
        return tuple(self.store.chunk_layout.read_chunk.shape)

    @property
    def shard(self) -> tuple[int, ...]:
        """Shape of a shard, the content of one file, voxels."""
        return tuple(self.store.chunk_layout.write_chunk.shape)

    def __getitem__(self, index: Any, /) -> npt.NDArray[Any]:
        """Read an index of integers and slices.

        Raises
        ------
        ValueError
            A chunk is damaged, or a file missing; the message names it.
        """
        self.files.check_files(index)
        try:
            return np.asarray(self.store[index])
        except ValueError as error:
            raise ValueError(self._find_damaged_chunk(index, error)) from error

    def write(self, index: tuple[slice, ...], values: npt.NDArray[Any]) -> WriteFuture:
        """Start to write a box; `values` must not change until it is stored.

        Returns
        -------
        WriteFuture
            Its ``result()`` returns when the box is stored, or raises the error.
        """
        if self.check_ownership is not None:
            self.check_ownership()
        future: WriteFuture = self.store[index].write(values)
        return future

    def _find_damaged_chunk(self, index: Any, error: ValueError) -> str:
        """Return a message that names the first chunk of a box that cannot be read."""
        edges = zip(index_bounds(index, self.shape), self.chunk, strict=True)
        starts = [range(low // c * c, high, c) for (low, high), c in edges]
        for corner in product(*starts):
            sizes = zip(corner, self.chunk, self.shape, strict=True)
            chunk = tuple(slice(o, min(o + c, n)) for o, c, n in sizes)
            try:
                self.store[chunk].read().result()
            except ValueError as chunk_error:
                box = ",".join(f"{part.start}:{part.stop}" for part in chunk)
                return f"{self.path}: chunk {box} is damaged ({_first_line(chunk_error)})"
        return f"{self.path} cannot be read: {_first_line(error)}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].split(" [")[0]
