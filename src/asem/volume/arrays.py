"""Arrays on disk: Zarr 3 in shards with checksums, read and written by tensorstore."""

import errno
import stat
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorstore as ts

from asem.documents import read_json
from asem.files import refuse_undecodable
from asem.volume.levels import Level
from asem.volume.roi import Triple

DTYPES = (
    "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32",
    "float64",
)  # fmt: skip
CHUNK: Triple = (64, 64, 64)
SHARD: Triple = (256, 256, 256)


class Promise(Protocol):
    """A write that goes on."""

    def result(self) -> Any:
        """Return when it is stored; raises ValueError or OSError if it cannot be."""


def create_level(image: Path, level: Level, dtype: np.dtype[Any], *, labels: bool) -> "Stored":
    """Create (or open, if it is there) the array of one level.

    Images are compressed for speed, labels for size. Every chunk has a checksum, since neither
    codec notices damage.
    """
    sharding = {
        "chunk_shape": CHUNK,
        "codecs": _codecs(dtype, "zstd" if labels else "lz4", 5),
        "index_codecs": [{"name": "bytes", "configuration": _LITTLE}, {"name": "crc32c"}],
    }
    codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    metadata = _metadata(level.shape, dtype, SHARD, codecs, names=["z", "y", "x"])
    return _create(image / level.path, metadata)


def create_scratch(
    path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, chunk: tuple[int, ...]
) -> "Stored":
    """Create (or open) an array of what is kept between two passes; each chunk is one file."""
    dtype = np.dtype(dtype)
    return _create(path, _metadata(shape, dtype, chunk, _codecs(dtype, "zstd", 1)))


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


def _create(path: Path, metadata: dict[str, Any]) -> "Stored":
    spec = {"driver": "zarr3", "kvstore": _kvstore(path), "metadata": metadata}
    return Stored(path, ts.open(spec, open=True, create=True).result())


def _kvstore(array: Path) -> dict[str, str]:
    """Name a folder to tensorstore, which takes neither `..` nor a relative path, only UTF-8."""
    refuse_undecodable(array)
    return {"driver": "file", "path": f"{array.resolve()}/"}


_LITTLE = {"endian": "little"}


def open_array(path: Path) -> "Stored":
    """Open a Zarr 3 array to read."""
    spec = {"driver": "zarr3", "kvstore": _kvstore(path)}
    try:
        document = read_json(path / "zarr.json")  # tensorstore would wait for a pipe
    except FileNotFoundError as error:
        raise ValueError(f"{path} cannot be read: it has no zarr.json") from error
    try:
        return Stored(path, ts.open(spec, read=True).result(), keys=_keys(document))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {_first_line(error)}") from error


def _keys(document: dict[str, Any]) -> tuple[str, str]:
    """Return what the names of an array's files begin with, and what separates their numbers."""
    encoding = document.get("chunk_key_encoding")
    table = encoding if isinstance(encoding, dict) else {"name": encoding}
    configuration = table.get("configuration")
    dotted = table.get("name") == "v2"
    separator = "." if dotted else "/"
    if isinstance(configuration, dict):
        separator = str(configuration.get("separator", separator))
    return ("" if dotted else f"c{separator}"), separator


@dataclass(frozen=True)
class Stored:
    """An array on disk, which says where it is damaged; it can be pickled.

    Parameters
    ----------
    path
        Its folder.
    store
        The tensorstore array.
    keys
        Beginning of the names of its files, and what separates the numbers in them.
    """

    path: Path
    store: Any
    keys: tuple[str, str] = ("c/", "/")

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

    def __getitem__(self, index: tuple[slice, ...], /) -> npt.NDArray[Any]:
        """Read a box.

        Raises
        ------
        ValueError
            A chunk is damaged; the message names it.
        OSError
            What should be a file is a pipe or a device, for which tensorstore would wait.
        """
        self._refuse_pipes(index)
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
        promise: Promise = self.store[index].write(values)
        return promise

    def _refuse_pipes(self, index: tuple[slice, ...]) -> None:
        """Raise OSError where a file that is about to be read is no regular one; it may be gone."""
        edges = zip(index, self.shape, self.shard, strict=True)
        numbers = [range(s.indices(n)[0] // c, -(-s.indices(n)[1] // c)) for s, n, c in edges]
        prefix, separator = self.keys
        for place in product(*numbers):
            file = self.path / f"{prefix}{separator.join(map(str, place))}"
            try:
                mode = file.stat().st_mode
            except OSError:
                continue  # tensorstore knows what that means
            if not stat.S_ISREG(mode):
                raise OSError(errno.EINVAL, "is no regular file; it is not read", str(file))

    def _damage(self, index: tuple[slice, ...], error: ValueError) -> str:
        """Find the first chunk of a box that cannot be read."""
        edges = zip(index, self.shape, self.chunk, strict=True)
        starts = [range(s.indices(n)[0] // c * c, s.indices(n)[1], c) for s, n, c in edges]
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
