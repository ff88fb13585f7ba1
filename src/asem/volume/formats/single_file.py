"""A single file that is read in parts: its state when it was opened, its header and its bytes.

A compressed file (gzip, bzip2) cannot be read in parts: it is decompressed once per process, into
memory, after the free memory has been checked.
"""

import bz2
import gzip
import os
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from asem.system.files import file_state, open_regular_file
from asem.system.resources import check_free_memory, format_bytes

COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2"}
"""By the suffix of a file."""
MAX_COMPRESSION_FACTORS = {"gzip": 1100, "bzip2": 30_000}
"""Larger ones are not possible; a file that states more voxels is damaged."""
DECOMPRESSION_ERRORS = (EOFError, OSError, ValueError, zlib.error)
"""Exceptions of gzip and bz2 on damaged files."""
READ_BYTES = 2**24
"""Decompressed at a time."""
_DECOMPRESSION = Lock()


@dataclass(frozen=True)
class SingleFile:
    """A file to read, and its state when it was opened.

    Parameters
    ----------
    path
        The file, absolute: workers that read it run in other folders.
    state
        Size and time of change (ns).
    """

    path: Path
    state: tuple[int, int]

    @classmethod
    def open(cls, path: Path) -> "SingleFile":
        """Return a regular file with its present state; raise OSError where it is none."""
        open_regular_file(path).close()
        return cls(path.absolute(), file_state(path))

    @property
    def compression(self) -> str:
        """``"gzip"``, ``"bzip2"`` or empty, by the suffix."""
        return COMPRESSIONS.get(self.path.suffix.lower(), "")

    @property
    def size(self) -> int:
        """Bytes of the file on disk, compressed or not."""
        return self.state[0]

    def check_unchanged(self) -> None:
        """Raise OSError if size or time of change differ from when the file was opened."""
        state = file_state(self.path)
        if state != self.state:
            changed = "size" if state[0] != self.state[0] else "time of change"
            raise OSError(
                f"{self.path} changed after it was opened (its {changed}); once it is complete, "
                "restart with --overwrite"
            )

    def read_start(self, size: int) -> bytes:
        """Read up to `size` decompressed bytes at the start; raise ValueError on damage."""
        with open_regular_file(self.path) as file:
            try:
                return self._decompress(file).read(size)
            except DECOMPRESSION_ERRORS as error:
                raise ValueError(f"{self.path} is damaged: {error}; copy it again") from error

    def check_holds(self, size: int) -> None:
        """Raise ValueError where the file cannot hold `size` decompressed bytes.

        For a compressed file, they must also fit into the free memory.
        """
        if size > self.size * MAX_COMPRESSION_FACTORS.get(self.compression, 1):
            raise ValueError(
                f"{self.path} has {format_bytes(self.size)}, but its header states "
                f"{format_bytes(size)}; it is truncated or damaged: copy it again"
            )
        if self.compression:
            check_free_memory(size, f"{self.path}, {self.compression},", "decompress it first")

    def read_into(self, out: npt.NDArray[Any], file: IO[bytes], offset: int) -> None:
        """Read bytes of an uncompressed file into a contiguous array.

        Parameters
        ----------
        out
            C-contiguous array, of which all bytes are read.
        file
            The opened file.
        offset
            Of the first byte in the file.
        """
        remaining = out.reshape(-1).view(np.uint8).data
        while remaining:  # one call may read fewer bytes than requested
            count = os.preadv(file.fileno(), [remaining], offset)
            if count == 0:
                raise OSError(f"{self.path} ends within its voxels; copy it again")
            remaining, offset = remaining[count:], offset + count

    def decompress(self, offset: int, size: int) -> npt.NDArray[np.uint8]:
        """Return decompressed bytes, read once per process; the last file is cached."""
        with _DECOMPRESSION:  # several threads would each need the memory
            return _decompress(self, offset, size)

    def _decompress(self, file: IO[bytes]) -> IO[bytes]:
        """Return a file of the decompressed bytes."""
        if self.compression == "gzip":
            return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
        return bz2.BZ2File(file) if self.compression else file


@lru_cache(maxsize=1)
def _decompress(source: SingleFile, offset: int, size: int) -> npt.NDArray[np.uint8]:
    check_free_memory(size, f"{source.path}, {source.compression},", "decompress it first")
    voxels = np.empty(size, np.uint8)
    done = 0
    try:
        with open_regular_file(source.path) as raw, source._decompress(raw) as file:
            _skip(file, offset)
            while done < size:
                part = file.read(min(READ_BYTES, size - done))
                if not part:
                    raise EOFError("it ends within its voxels")
                voxels[done : done + len(part)] = np.frombuffer(part, np.uint8)
                done += len(part)
    except DECOMPRESSION_ERRORS as error:
        raise OSError(f"{source.path} is damaged: {error}; copy it again") from error
    voxels.flags.writeable = False
    return voxels


def _skip(file: IO[bytes], size: int) -> None:
    while size > 0:
        part = file.read(min(READ_BYTES, size))
        if not part:
            raise EOFError("it ends within its header")
        size -= len(part)
