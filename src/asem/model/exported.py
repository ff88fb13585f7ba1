"""Whether a file is an export of asem: an ONNX file, or a bioimage.io package.

::

    ONNX       its metadata has structure, voxel size and checkpoint, as asem writes them
    package    a zip of five files; rdf.yaml has a table `asem` under `config`
"""

import re
import zipfile
import zlib
from pathlib import Path
from typing import IO

from asem.system.documents import parse_json
from asem.system.files import open_regular

FACTS = {"structure", "voxel_size", "checkpoint"}
"""In the metadata of an ONNX file, besides others."""
MOST_ONNX, MOST_DESCRIPTION = 2**31, 2**20
"""Bytes of an ONNX file (a protocol buffer has fewer), and of a package's description."""
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
    """Whether asem wrote the file; also False where it is damaged. Needs `asem[export]`.

    Raises
    ------
    OSError
        It cannot be read, or is no regular file.
    """
    with open_regular(path) as file:
        is_zip = file.read(4) == b"PK\3\4"
        file.seek(0)
        try:
            return _is_package(file) if is_zip else _is_network(file, str(path))
        except _DAMAGE:
            return False


def _is_network(file: IO[bytes], name: str) -> bool:
    """Whether an ONNX file has the metadata that asem writes."""
    import onnx
    from google.protobuf.message import DecodeError

    content = file.read(MOST_ONNX + 1)
    if len(content) > MOST_ONNX:
        return False
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        return False
    facts = {fact.key: fact.value for fact in model.metadata_props}
    if not facts.keys() >= FACTS:
        return False
    own = parse_json(facts["checkpoint"], source=name)
    return isinstance(own, dict) and "asem" in own


def _is_package(file: IO[bytes]) -> bool:
    with zipfile.ZipFile(file) as package:
        entries = {entry.filename: entry for entry in package.infolist()}
        if len(package.infolist()) != len(PACKAGED) or entries.keys() != PACKAGED:
            return False
        if entries["rdf.yaml"].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return False
        with package.open("rdf.yaml") as description:
            return OWN_CONFIG.search(description.read(MOST_DESCRIPTION)) is not None
