"""Whether a file is an export of asem: an ONNX file, or a bioimage.io package.

Only the metadata is read, and no more of a file than a few fields of it; nothing is computed::

    ONNX       a protocol buffer: field 14, its metadata, is a list of keys and values;
               all others are skipped
    package    a zip of five files; rdf.yaml holds the table asem under config
"""

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from asem.system.documents import parse_json
from asem.system.files import open_regular

FACTS = {"structure", "voxel_size", "checkpoint"}
"""In the metadata of an ONNX file, besides others."""
METADATA = 14
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""How the value of a field is stored."""
MOST_FIELDS, MOST_BYTES, MOST_SKIPPED = 100, 2**20, 2**40
"""Of a file; of each piece of metadata, and of a package's description; of what is not read."""
PACKAGED = {"rdf.yaml", "README.md", "model.onnx", "raw.npy", "probability.npy"}
OWN_CONFIG = re.compile(rb"^config:\n(?:[ ].*\n)*?  asem:\n    ", re.MULTILINE)
_DAMAGE = (
    EOFError, LookupError, ValueError, RuntimeError, NotImplementedError, zlib.error,
    zipfile.BadZipFile,
)  # fmt: skip


def refuse_other_file(path: Path) -> None:
    """Raise FileExistsError where there is a file that asem did not export."""
    if path.exists() and not is_exported(path):
        raise FileExistsError(
            f"{path} is no model that asem exported, and is not replaced; give another name"
        )


def is_exported(path: Path) -> bool:
    """Whether asem wrote the file; also False where it cannot be told.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        try:
            if file.read(4) == b"PK\3\4":
                return _is_package(file)
            file.seek(0)
            facts = dict(_facts(file))
            own = parse_json(facts.get("checkpoint", b""), source=str(path))
        except _DAMAGE:
            return False
    return facts.keys() >= FACTS and isinstance(own, dict) and "asem" in own


def _is_package(file: IO[bytes]) -> bool:
    with zipfile.ZipFile(file) as package:
        entries = {entry.filename: entry for entry in package.infolist()}
        if len(package.infolist()) != len(PACKAGED) or entries.keys() != PACKAGED:
            return False
        if entries["rdf.yaml"].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return False
        with package.open("rdf.yaml") as description:
            return OWN_CONFIG.search(description.read(MOST_BYTES)) is not None


def _facts(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """Yield the keys and values of an ONNX file's metadata; ValueError where it is none."""
    for number, value in _fields(file, METADATA):
        if number == METADATA:
            pair = dict(_pair(value))
            yield pair.get(1, b"").decode(), pair.get(2, b"")


def _pair(message: bytes) -> Iterator[tuple[int, bytes]]:
    yield from _fields(io.BytesIO(message), 1, 2)


def _fields(file: IO[bytes], *wanted: int) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a protocol buffer that are bytes, by number; others are skipped."""
    for _ in range(MOST_FIELDS):
        if (key := _varint(file, at_end=True)) < 0:
            return
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            _varint(file)
        elif kind == BYTES:
            size = _varint(file)
            if size > MOST_SKIPPED:
                raise ValueError("it states a field that is too large")
            if number not in wanted:
                file.seek(size, 1)
                continue
            if size > MOST_BYTES or len(value := file.read(size)) < size:
                raise ValueError("it is cut off, or has too large metadata")
            yield number, value
        elif kind in (FIXED64, FIXED32):
            file.seek(8 if kind == FIXED64 else 4, 1)
        else:
            raise ValueError("it is no protocol buffer")
    raise ValueError(f"it has more than {MOST_FIELDS} fields")


def _varint(file: IO[bytes], *, at_end: bool = False) -> int:
    """Read a whole number, 7 bits a byte, the lowest first; -1 at the end if that is allowed."""
    value = 0
    for shift in range(0, 63, 7):
        byte = file.read(1)
        if not byte:
            if at_end and not shift:
                return -1
            raise EOFError
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    raise ValueError("a number has too many bytes")
