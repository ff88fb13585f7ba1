"""Check that an output is not located within another output.

An output that contains foreign files is never replaced, and files in a run or an image appear to
belong to it. Containers are not outputs::

    cell.zarr/                     a container                           allowed
      raw/, raw/0/c/               an image, its arrays                  error
      labels/, predictions/mito/   containers                            allowed
    raw.zarr/labels/               labels of an image                    allowed, as in OME-NGFF
    runs/mito/                     a run directory                       error
    models/mito/                   a checkpoint or a converted model     error
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asem.blocks.output_ownership import JOURNAL_FILE, JOURNAL_FOLDER
from asem.system.atomic_rename import check_not_link
from asem.system.files import check_utf8_path
from asem.system.json_toml import read_json

METADATA_FILE, LABELS_GROUP = "zarr.json", "labels"
RUN_FILE, RUN_KEYS = "run.json", {"state", "iteration", "checkpoint"}
"""State file of a run directory, and its required keys."""
CHECKPOINT_FILES = ("model.safetensors", "state.json")
"""The files of a checkpoint, or of a converted model."""


def check_output_path(path: Path) -> None:
    """Raise an error if `path` is not UTF-8, a symbolic link, or within another output."""
    check_utf8_path(path)
    check_not_link(path)
    check_not_within_output(path)


def check_not_within_output(path: Path) -> None:
    """Raise FileExistsError if a parent folder of an output, at any depth, is an output itself.

    Parameters
    ----------
    path
        The output; symbolic links above it are followed.

    Raises
    ------
    FileExistsError
        The path is within an image, finished or not, a run directory, or a model.
    """
    resolved = path.resolve()
    for folder in resolved.parents:
        if kind := _describe_output(folder, resolved):
            raise FileExistsError(
                f"{path} is within {kind} {folder}, which contains no other files; give another "
                "path"
            )


def check_not_nested(outputs: Sequence[Path]) -> None:
    """Raise ValueError if one of several outputs is inside another one."""
    by_resolved = {path.resolve(): path for path in outputs}
    for resolved, inner in by_resolved.items():
        outer = next((by_resolved[top] for top in resolved.parents if top in by_resolved), None)
        if outer is not None:
            raise ValueError(
                f"{inner} would be within {outer}, an image that contains no other files; give "
                "another path"
            )


def _describe_output(folder: Path, path: Path) -> str:
    """Return the kind of output of a folder that may not contain `path`; empty if it is none."""
    if _is_file(folder / JOURNAL_FOLDER / JOURNAL_FILE):
        return "the unfinished output"
    zarr = read_json_or_empty(folder / METADATA_FILE)
    if zarr.get("node_type") == "array":
        return "the Zarr array"
    if _is_image(zarr) and path.relative_to(folder).parts[0] != LABELS_GROUP:
        return "the image"
    if is_training_run(folder):
        return "the run"
    if all(_is_file(folder / name) for name in CHECKPOINT_FILES):
        return "the model"
    return ""


def is_training_run(folder: Path) -> bool:
    """Return whether a folder is the run directory of a training."""
    return read_json_or_empty(folder / RUN_FILE).keys() >= RUN_KEYS


def is_asem_image(path: Path) -> bool:
    """Return whether the image at `path` was written by asem, according to its metadata."""
    return _has_asem_attributes(read_json_or_empty(path / METADATA_FILE))


def _is_image(zarr: dict[str, Any]) -> bool:
    ome = _read_attributes(zarr).get("ome")
    return isinstance(ome, dict) and "multiscales" in ome


def _has_asem_attributes(zarr: dict[str, Any]) -> bool:
    attributes = _read_attributes(zarr).get("asem")
    return isinstance(attributes, dict) and bool(attributes)


def _read_attributes(zarr: dict[str, Any]) -> dict[str, Any]:
    attributes = zarr.get("attributes")
    return attributes if isinstance(attributes, dict) else {}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no permission to read the folder
        return False


def read_json_or_empty(file: Path) -> dict[str, Any]:
    """Return the object in a JSON file; empty if it cannot be read or is not an object."""
    try:
        return read_json(file)
    except (OSError, ValueError):
        return {}
