"""Test whether an ONNX file or a bioimage.io package was exported by asem.

::

    ONNX       its metadata contains structure, voxel size and checkpoint
    package    a zip of five files; rdf.yaml has a table `asem` under `config`
"""

import re
import zipfile
import zlib
from pathlib import Path
from typing import IO

from asem.system.files import open_regular_file
from asem.system.json_toml import parse_json
from asem.system.overwrite_policy import OutputKind

REQUIRED_METADATA = {"structure", "voxel_size", "checkpoint"}
"""Keys in the metadata of an ONNX file, among others."""
MAX_ONNX_BYTES, MAX_DESCRIPTION_BYTES = 2**31, 2**20
"""Size limits of an ONNX file (that of a protocol buffer) and of a package's description."""
PACKAGE_FILES = {"rdf.yaml", "README.md", "model.onnx", "raw.npy", "probability.npy"}
ASEM_CONFIG_PATTERN = re.compile(rb"^config:\n(?:[ ].*\n)*?  asem:\n    ", re.MULTILINE)
_DAMAGE_ERRORS = (
    EOFError, LookupError, ValueError, RuntimeError, NotImplementedError, zlib.error,
    zipfile.BadZipFile,
)  # fmt: skip


def is_exported_by_asem(path: Path) -> bool:
    """Whether asem exported the file; False for damaged files, too. Needs `asem[export]`.

    Raises
    ------
    OSError
        The file cannot be read, or is no regular file.
    """
    with open_regular_file(path) as file:
        is_zip = file.read(4) == b"PK\3\4"
        file.seek(0)
        try:
            return _is_exported_package(file) if is_zip else _is_exported_onnx(file, str(path))
        except _DAMAGE_ERRORS:
            return False


def _is_exported_onnx(file: IO[bytes], name: str) -> bool:
    """Whether an ONNX file has the metadata of an export by asem."""
    import onnx
    from google.protobuf.message import DecodeError

    content = file.read(MAX_ONNX_BYTES + 1)
    if len(content) > MAX_ONNX_BYTES:
        return False
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError:
        return False
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if not metadata.keys() >= REQUIRED_METADATA:
        return False
    checkpoint = parse_json(metadata["checkpoint"], source=name)
    return isinstance(checkpoint, dict) and "asem" in checkpoint


def _is_exported_package(file: IO[bytes]) -> bool:
    with zipfile.ZipFile(file) as package:
        entries = {entry.filename: entry for entry in package.infolist()}
        if len(package.infolist()) != len(PACKAGE_FILES) or entries.keys() != PACKAGE_FILES:
            return False
        if entries["rdf.yaml"].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return False
        with package.open("rdf.yaml") as description:
            return ASEM_CONFIG_PATTERN.search(description.read(MAX_DESCRIPTION_BYTES)) is not None


def _find_foreign(path: Path) -> Path | None:
    return None if not path.is_dir() and is_exported_by_asem(path) else Path()


EXPORTED_MODEL = OutputKind("an exported model", _find_foreign, is_file=True)
