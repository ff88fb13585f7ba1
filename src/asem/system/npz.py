"""Files of named arrays (``.npz``), read without trust in what they state.

Nothing is unpickled, and no more memory is taken than the arrays that are expected need: each
header is compared with its `Form`, and with the size of its entry, before the data is read::

    zip directory  ->  entry  ->  header: dtype, shape  ->  data
       sizes         is stored      as its Form has it
                    or deflated
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

from asem.system.files import open_regular

DAMAGED = " is damaged: "
"""Between the file and the reason in a message."""
MOST_ENTRIES = 1000
MOST_RATIO = 1100
"""Bytes that a compressed byte can give; deflate reaches 1032."""
SMALL = 2**16
"""Bytes of an entry that are read whatever its compressed size."""
TEXT_BYTES = 2**20
"""Of an array of text at most."""
ENCRYPTED = 1
_DAMAGE = (
    EOFError, KeyError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError,
    RuntimeError, MemoryError, SyntaxError, NotImplementedError, struct.error, zlib.error,
    zipfile.BadZipFile, tokenize.TokenError,
)  # fmt: skip
"""What zipfile and numpy raise for damaged files."""


@dataclass(frozen=True)
class Form:
    """What an array of a file has to be.

    Parameters
    ----------
    kinds
        Letters of numpy's kinds of dtypes (``"b"`` bool, ``"u"`` unsigned, ``"i"``, ``"f"``,
        ``"U"`` text), or the name of one dtype.
    shape
        Its length along each axis; None: any length.
    most
        Of its voxels or values, where the shape does not decide.
    optional
        Whether the file may lack it.
    """

    kinds: str
    shape: tuple[int | None, ...] = ()
    most: int = 2**27
    optional: bool = False

    def fault(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
        """Return what is wrong with an array, or nothing."""
        right = dtype.kind in self.kinds if len(self.kinds) <= 2 else dtype.name == self.kinds
        equal = len(shape) == len(self.shape) and all(
            wanted is None or given == wanted
            for given, wanted in zip(shape, self.shape, strict=True)
        )
        size = math.prod(shape)
        text = dtype.kind == "U" and size * dtype.itemsize > TEXT_BYTES
        fits = size <= self.most or None not in self.shape
        if right and equal and fits and not text and not dtype.hasobject:
            return ""
        wanted = " x ".join("n" if n is None else str(n) for n in self.shape) or "one value"
        return f"{dtype} of shape {shape}, not {_WORDS.get(self.kinds, self.kinds)} of {wanted}"


_WORDS = {"b": "bool", "u": "unsigned", "i": "int", "iu": "whole numbers", "f": "float"}
_WORDS |= {"U": "text", "fi": "numbers"}


def read_arrays(path: Path, forms: Mapping[str, Form]) -> dict[str, npt.NDArray[Any]]:
    """Read the arrays that `forms` name; others are left where they are.

    Parameters
    ----------
    path
        A file of `numpy.savez` or `numpy.savez_compressed`.
    forms
        What is expected under each name.

    Returns
    -------
    dict
        The arrays by their names.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file.
    ValueError
        It is damaged, or an array is missing or has another form; one line that names the file.
    """
    with open_regular(path) as file:
        try:
            return _read(file, forms)
        except _DAMAGE as error:
            reason = str(error).splitlines() or [type(error).__name__]
            raise ValueError(f"{path}{DAMAGED}{reason[0]}") from error
        except OSError as error:
            if error.errno not in (None, errno.EINVAL):
                raise  # of the disk
            raise ValueError(f"{path}{DAMAGED}{error}") from error


def _read(file: IO[bytes], forms: Mapping[str, Form]) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        if len(entries) > MOST_ENTRIES:
            raise ValueError(f"it has {len(entries)} entries")
        by_name = {entry.filename.removesuffix(".npy"): entry for entry in entries}
        missing = [name for name in forms if name not in by_name and not forms[name].optional]
        if missing:
            raise ValueError(f"it has no array '{missing[0]}'")
        return {
            name: _array(archive, by_name[name], form)
            for name, form in forms.items()
            if name in by_name
        }


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, form: Form) -> npt.NDArray[Any]:
    """Read one array whose header, and the size of the entry, are as expected."""
    name = entry.filename
    if entry.flag_bits & ENCRYPTED:
        raise ValueError(f"{name} is encrypted")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed in a way that numpy does not write")
    if entry.file_size > max(SMALL, MOST_RATIO * entry.compress_size):
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
        if fault := form.fault(dtype, shape):
            raise ValueError(f"{name} is {fault}")
        size = math.prod(shape) * dtype.itemsize
        if min(shape, default=0) < 0 or stream.tell() + size != entry.file_size:
            raise ValueError(f"{name} has {entry.file_size} bytes, not those of {dtype} x {shape}")
        data = stream.read()  # to the end, where its checksum is compared
    if dtype == np.bool_:
        data = (np.frombuffer(data, np.uint8) != 0).tobytes()  # a file may hold other bytes
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()
