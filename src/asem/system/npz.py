"""Safe reading of NumPy ``.npz`` archives: no unpickling, bounded memory.

Each header is compared with its `ArraySpec`, and with the size of its entry, before the data is
read, so that no more memory is used than the expected arrays need::

    zip directory  ->  entry  ->  header: dtype, shape  ->  data
       sizes         stored or      match the
                     deflated       ArraySpec
"""

import errno
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from asem.system.files import open_regular_file

DAMAGED_TEXT = " is damaged: "
"""Text between the file and the reason in a message."""
MAX_ENTRIES = 1000
MAX_COMPRESSION_RATIO = 1100
"""Largest ratio of uncompressed to compressed bytes; deflate reaches 1032."""
MIN_CHECKED_BYTES = 2**16
"""Entries up to this size are read whatever their compressed size."""
MAX_TEXT_BYTES = 2**20
"""Largest array of text, bytes."""
ENCRYPTED_FLAG = 1
_DAMAGE_ERRORS = (
    EOFError, KeyError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
    RuntimeError, MemoryError, SyntaxError, NotImplementedError, struct.error, zlib.error,
    zipfile.BadZipFile, tokenize.TokenError,
)  # fmt: skip
"""Exceptions of zipfile and numpy for damaged files."""


@dataclass(frozen=True)
class ArraySpec:
    """Allowed dtype, shape and size of an array in a file.

    Parameters
    ----------
    dtype_kinds
        Kinds of dtypes as in `numpy.dtype.kind` (``"b"`` bool, ``"u"`` unsigned, ``"i"``,
        ``"f"``, ``"U"`` text), or the name of one dtype.
    shape
        Length along each axis; None: any length.
    max_size
        Largest number of elements, where `shape` does not determine it.
    """

    dtype_kinds: str
    shape: tuple[int | None, ...] = ()
    max_size: int = 2**27

    def find_mismatch(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
        """Return how an array differs from this, as text; empty where it fits."""
        dtype_fits = (
            dtype.kind in self.dtype_kinds
            if len(self.dtype_kinds) <= 2
            else dtype.name == self.dtype_kinds
        )
        shape_fits = len(shape) == len(self.shape) and all(
            allowed is None or length == allowed
            for length, allowed in zip(shape, self.shape, strict=True)
        )
        size = math.prod(shape)
        text_too_large = dtype.kind == "U" and size * dtype.itemsize > MAX_TEXT_BYTES
        size_fits = size <= self.max_size or None not in self.shape
        if dtype_fits and shape_fits and size_fits and not text_too_large and not dtype.hasobject:
            return ""
        kind_name = _KIND_NAMES.get(self.dtype_kinds, self.dtype_kinds)
        shape_text = " x ".join("n" if n is None else str(n) for n in self.shape) or "one value"
        return f"{dtype} of shape {shape}, not {kind_name} of {shape_text}"


_KIND_NAMES = {"b": "bool", "u": "unsigned", "i": "int", "iu": "integers", "f": "float"}
_KIND_NAMES |= {"U": "text", "fi": "numbers"}


def read_npz(path: Path, specs: Mapping[str, ArraySpec]) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays that are named in `specs`, and no others.

    Parameters
    ----------
    path
        A file of `numpy.savez` or `numpy.savez_compressed`.
    specs
        Allowed arrays by name.

    Returns
    -------
    dict
        The arrays by name.

    Raises
    ------
    OSError
        The file cannot be read, or is not a regular file.
    ValueError
        It is damaged, or an array is missing or differs from its spec; one line that names the
        file.
    """
    with open_regular_file(path) as file:
        try:
            return _read_entries(file, specs)
        except _DAMAGE_ERRORS as error:
            reason = str(error).splitlines() or [type(error).__name__]
            raise ValueError(f"{path}{DAMAGED_TEXT}{reason[0]}") from error
        except OSError as error:
            if error.errno not in (None, errno.EINVAL):
                raise  # an error of the disk
            raise ValueError(f"{path}{DAMAGED_TEXT}{error}") from error


def _read_entries(file: IO[bytes], specs: Mapping[str, ArraySpec]) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise ValueError(f"it has {len(entries)} entries")
        by_name = {entry.filename.removesuffix(".npy"): entry for entry in entries}
        missing = [name for name in specs if name not in by_name]
        if missing:
            raise ValueError(f"it has no array '{missing[0]}'")
        return {name: _read_array(archive, by_name[name], spec) for name, spec in specs.items()}


def _read_array(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, spec: ArraySpec
) -> npt.NDArray[Any]:
    """Read one array after checking its header and the size of its entry."""
    name = entry.filename
    if entry.flag_bits & ENCRYPTED_FLAG:
        raise ValueError(f"{name} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way that numpy does not write")
    if entry.file_size > max(MIN_CHECKED_BYTES, MAX_COMPRESSION_RATIO * entry.compress_size):
        raise ValueError(f"{name} states {entry.file_size} bytes of {entry.compress_size} stored")
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read_header is None:
            raise ValueError(f"{name} is of version {version}")
        shape, fortran, dtype = read_header(stream)
        if mismatch := spec.find_mismatch(dtype, shape):
            raise ValueError(f"{name} is {mismatch}")
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or stream.tell() + size != entry.file_size:
            raise ValueError(f"{name} has {entry.file_size} bytes, not those of {dtype} x {shape}")
        data = stream.read()  # to the end, so that zipfile checks the checksum
    if dtype == np.bool_:
        data = (np.frombuffer(data, np.uint8) != 0).tobytes()  # a file may hold bytes above 1
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()
