"""Whether a place lies within an output, where nothing else is to be written.

An output that holds anything foreign is never replaced, and what lies in a run or in an image looks
as if it belonged to it. Containers are no outputs::

    cell.zarr/                     a container                           allowed
      raw/, raw/0/c/               an image, its arrays                  refused
      labels/, predictions/mito/   containers                            allowed
    raw.zarr/labels/               of an image                           allowed, as OME-NGFF has it
    runs/mito/                     a run directory                       refused
    models/mito/                   a checkpoint or a converted model     refused
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asem.blocks.request import JOURNAL, NAME
from asem.system.documents import read_json

METADATA, LABELS = "zarr.json", "labels"
RUN, RUN_KEYS = "run.json", {"state", "iteration", "checkpoint"}
"""Of a run directory, and what stands in it at least."""
CHECKPOINT = ("model.safetensors", "state.json")
"""The files of a checkpoint, or of a converted model."""


def refuse_within_output(path: Path) -> None:
    """Refuse a place for an output in a folder that is an output itself, at any depth.

    Parameters
    ----------
    path
        The place; symbolic links above it are followed.

    Raises
    ------
    FileExistsError
        It lies within an image, finished or not, a run directory, or a model.
    """
    place = path.resolve()
    for folder in place.parents:
        if what := _output_at(folder, place):
            raise FileExistsError(
                f"{path} lies within {what} {folder}, which holds nothing else; give another place"
            )


def refuse_nested(outputs: Sequence[Path]) -> None:
    """Raise ValueError where one of several outputs is to be made within another one."""
    places = {path.resolve(): path for path in outputs}
    for place, inner in places.items():
        outer = next((places[folder] for folder in place.parents if folder in places), None)
        if outer is not None:
            raise ValueError(
                f"{inner} would lie within {outer}, an image that holds nothing else; give another "
                "place"
            )


def _output_at(folder: Path, place: Path) -> str:
    """Return what output a folder is that may not hold `place`; nothing where it is none."""
    if _is_file(folder / NAME / JOURNAL):
        return "the unfinished output"
    zarr = _table(folder / METADATA)
    if zarr.get("node_type") == "array":
        return "the Zarr array"
    if _is_image(zarr) and place.relative_to(folder).parts[0] != LABELS:
        return "the image"
    if _table(folder / RUN).keys() >= RUN_KEYS:
        return "the run"
    if all(_is_file(folder / name) for name in CHECKPOINT):
        return "the model"
    return ""


def is_own_image(path: Path) -> bool:
    """Whether the metadata of an image at `path` is that of asem."""
    return _is_own(_table(path / METADATA))


def _is_image(zarr: dict[str, Any]) -> bool:
    ome = _attributes(zarr).get("ome")
    return isinstance(ome, dict) and "multiscales" in ome


def _is_own(zarr: dict[str, Any]) -> bool:
    own = _attributes(zarr).get("asem")
    return isinstance(own, dict) and bool(own)


def _attributes(zarr: dict[str, Any]) -> dict[str, Any]:
    found = zarr.get("attributes")
    return found if isinstance(found, dict) else {}


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # nobody may look there
        return False


def _table(file: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing where it cannot be read or holds no table."""
    try:
        return read_json(file)
    except (OSError, ValueError):
        return {}
