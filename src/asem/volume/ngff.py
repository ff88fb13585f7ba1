"""Volumes as OME-NGFF 0.5 images: Zarr 3 arrays in shards, typed metadata, pyramids.

::

    cell.zarr/                 a Zarr group
      raw/                     an NGFF image: what the command line points at
        zarr.json              metadata; written last, so that an unfinished image has none
        0/ 1/ 2/               the levels, each an array of shards
      labels/                  lists its label images
        mito/
"""

import json
import uuid
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator
from yaozarrs import v05

from asem.config import Config, Nm3
from asem.provenance import files_identity
from asem.system.documents import read_json
from asem.system.locks import exclusive
from asem.system.own_files import refuse_links, replaced_own
from asem.volume.arrays import DTYPES, Stored, open_array
from asem.volume.levels import Level
from asem.volume.shard_files import record_shards
from asem.volume.volume import Kind, OriginalGrid, Volume

GROUP_LOCK = ".asem.lock"
"""In a group, while its metadata is read and written again."""
MOST_ENTRIES, MOST_PADDING = 256, 256
"""Of each list of an image (levels, axes), whose entries are compared with each other; grey values
of padding, which are compared with all others."""


def write_metadata(
    image: Path,
    volume: Volume,
    levels: list[Level],
    made: dict[str, Any],
    *,
    check: Callable[[], None] | None = None,
) -> None:
    """Declare an image finished: its NGFF metadata, its groups above, its label listing.

    Parameters
    ----------
    image
        The image group.
    volume
        The finished volume; voxel size, offset, original grid, kind and window are taken from it.
    levels
        Its pyramid, all written.
    made
        What made it (`asem.provenance.made_by`).
    check
        Called at the last moment; what it raises leaves the image unfinished.
    """
    axes = [v05.SpaceAxis(name=name, unit="nanometer") for name in "zyx"]
    method = "mode" if volume.kind == "labels" else "mean"
    multiscale = v05.Multiscale(
        name=image.name, axes=axes, datasets=[_dataset(level) for level in levels], type=method
    )
    ome: v05.Image
    if volume.kind == "labels":
        ome = v05.LabelImage(
            multiscales=[multiscale], **{"image-label": v05.ImageLabel(version="0.5")}
        )
    else:
        ome = v05.Image(multiscales=[multiscale], omero=_omero(volume))
    own = OwnMetadata(
        uuid=str(uuid.uuid4()),
        kind=volume.kind,
        original=volume.grid,
        window=volume.window,
        padding=volume.padding,
        made_by=made,
        shards={level.path: record_shards(_level(image, level.path).files) for level in levels},
    )
    metadata = ome.model_dump(mode="json", by_alias=True, exclude_none=True)
    _write_groups_above(image, labels=volume.kind == "labels")
    attributes = {"ome": metadata, "asem": own.model_dump(mode="json")}
    _write_group(image, {"attributes": attributes}, check)


def _dataset(level: Level) -> v05.Dataset:
    return v05.Dataset(
        path=level.path,
        coordinateTransformations=[
            v05.ScaleTransformation(scale=list(level.voxel_size)),
            v05.TranslationTransformation(translation=list(level.offset_nm)),
        ],
    )


def _omero(volume: Volume) -> v05.Omero | None:
    if volume.window is None:
        return None
    black, white = volume.window
    window = v05.OmeroWindow(start=black, end=white, min=black, max=white)
    channel = v05.OmeroChannel(
        window=window, color="FFFFFF", active=True, label=Path(volume.name).name
    )
    return v05.Omero(channels=[channel])


def _write_group(
    path: Path, document: Mapping[str, Any], check: Callable[[], None] | None = None
) -> None:
    document = {"zarr_format": 3, "node_type": "group", **document}
    with replaced_own(path / "zarr.json", check) as file:
        file.write(json.dumps(document, indent=1).encode())


def check_groups_above(image: Path) -> None:
    """Refuse a place for an image in groups whose metadata is damaged or a symbolic link.

    Raises
    ------
    ValueError, OSError
        The groups could not be written once the image is finished.
    """
    for parent in _groups_above(image):
        refuse_links([parent / "zarr.json"])
        _listed(parent)


def _groups_above(image: Path) -> list[Path]:
    """Return the folders from the image's own up to the outermost `NAME.zarr`."""
    parents = list(image.resolve().parents)
    containers = [i for i, parent in enumerate(parents) if parent.suffix == ".zarr"]
    return parents[: containers[-1] + 1] if containers else []


def _write_groups_above(image: Path, *, labels: bool) -> None:
    """Make the folders between `NAME.zarr` and the image groups, and list labels."""
    image = image.resolve()
    for parent in _groups_above(image):
        listed = (
            image.name if labels and parent == image.parent and parent.name == "labels" else None
        )
        parent.mkdir(parents=True, exist_ok=True)
        if not (parent / "zarr.json").exists() or listed not in (None, *_listed(parent)):
            with exclusive(parent / GROUP_LOCK):
                _update_group(parent, listed)


def _update_group(group: Path, label: str | None) -> None:
    """Make a group, and list one of its label images; what other programs wrote there stays."""
    document = _document(group)
    attributes = document.get("attributes", {})
    if label is not None:
        names = sorted({*_listed(group), label})
        ome = {"version": "0.5", **attributes.get("ome", {}), "labels": names}
        attributes = {**attributes, "ome": ome}
    if label is not None or not document:
        _write_group(group, {**document, "attributes": attributes})


def _listed(group: Path) -> list[str]:
    """Return the label images that a group lists."""
    names = _attributes(group).get("ome", {}).get("labels", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{group / 'zarr.json'} is no Zarr metadata: labels must be names")
    return names


def _attributes(group: Path) -> dict[str, Any]:
    """Return a Zarr 3 group's attributes; empty where there is no group."""
    attributes: dict[str, Any] = _document(group).get("attributes", {})
    return attributes


def _document(group: Path) -> dict[str, Any]:
    """Return the metadata of a Zarr 3 group; empty where there is no group."""
    path = group / "zarr.json"
    try:
        document = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    attributes = document.get("attributes", {})
    kind, version = document.get("node_type", "group"), document.get("zarr_format", 3)
    if (kind, version) != ("group", 3):
        raise ValueError(f"{path} is that of no Zarr 3 group: {kind!r:.40}, {version!r:.40}")
    if not isinstance(attributes, dict) or not isinstance(attributes.get("ome", {}), dict):
        raise ValueError(f"{path} is no Zarr metadata: attributes must be tables")
    return document


def is_image(path: Path) -> bool:
    """Whether a finished NGFF image lies at `path`."""
    try:
        return "multiscales" in _attributes(path).get("ome", {})
    except ValueError:
        return False


class OwnMetadata(Config):
    """What stands beside the NGFF metadata of an image, under `asem`."""

    uuid: str | None = None
    kind: Kind | None = None
    original: OriginalGrid | None = None
    window: tuple[float, float] | None = None
    """Of contrast. The one of `omero` is for display: viewers change it."""
    padding: tuple[float, ...] = Field((), max_length=MOST_PADDING)
    made_by: dict[str, Any] | None = None
    shards: dict[str, str] | None = None
    """Of each level, which shards have a file (`asem.volume.shard_files.record_shards`); None: any
    may lack."""

    @model_validator(mode="after")
    def _window_is_one(self) -> Self:
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError(f"the window {self.window} must begin below its end")
        return self


@dataclass(frozen=True)
class Metadata:
    """What the `zarr.json` of one image states, read once: another image may replace it.

    Parameters
    ----------
    path
        The image group.
    ome
        Its validated NGFF metadata, without display settings.
    own
        asem's own.
    kind
        That NGFF states.
    identity
        What names the content.
    """

    path: Path
    ome: v05.Image
    own: OwnMetadata
    kind: Kind
    identity: str


def read_metadata(path: Path) -> Metadata:
    """Read what an image states about itself.

    Raises
    ------
    ValueError
        There is no finished image at `path`; the message says what there is instead.
    """
    attributes = _attributes(path)
    if "multiscales" not in attributes.get("ome", {}):
        raise ValueError(_not_an_image(path))
    try:
        stated = {key: value for key, value in attributes["ome"].items() if key != "omero"}
        _refuse_long(stated["multiscales"], path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names and units: what does not do is refused
            ome = v05.Image.model_validate(stated)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ValueError(f"{path}: bad OME-NGFF metadata at {where}: {fault['msg']}") from error
    if [axis.name for axis in ome.multiscales[0].axes] != ["z", "y", "x"]:
        raise ValueError(f"{path}: only images with the axes (z, y, x) can be read")
    own = OwnMetadata.checked(attributes.get("asem", {}), source=f"{path}/zarr.json, 'asem'")
    kind: Kind = "labels" if "image-label" in stated else "image"
    identity = own.uuid or files_identity(path, [path / "zarr.json"])
    return Metadata(path, ome, own, kind, identity)


def _refuse_long(stated: Any, path: Path) -> None:
    """Raise ValueError where a list in metadata is longer than any image's."""
    if isinstance(stated, list | dict):
        if isinstance(stated, list) and len(stated) > MOST_ENTRIES:
            raise ValueError(
                f"{path}: bad OME-NGFF metadata: a list has {len(stated)} entries; at most "
                f"{MOST_ENTRIES} can be read"
            )
        for value in stated.values() if isinstance(stated, dict) else stated:
            _refuse_long(value, path)


def _not_an_image(path: Path) -> str:
    if (path / ".asem" / "journal.jsonl").exists():
        return f"{path} is not finished; run the command that made it again, and it goes on"
    # Images lie one level down (raw), two (labels/mito) or three (predictions/run/probability).
    below = (f"{'*/' * depth}zarr.json" for depth in (1, 2, 3))
    inner = [entry.parent for pattern in below for entry in path.glob(pattern)]
    images = sorted(str(entry) for entry in inner if is_image(entry))
    if images:
        names = ", ".join(images[:5]) + (", ..." if len(images) > 5 else "")
        return f"{path} is a container; name one of its images: {names}"
    return f"{path} is no OME-NGFF 0.5 image and holds no TIFF plane (*.tif, *.tiff)"


def _unit_nm(unit: str | None, path: Path) -> float:
    lengths = {"angstrom": 0.1, "nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6}
    if unit not in lengths:
        raise ValueError(f"{path}: axes in '{unit}' have no length; allowed: {', '.join(lengths)}")
    return lengths[unit]


def open_image(image: Path | Metadata) -> Volume:
    """Open the finest level of an NGFF image, given by its path or by what was read of it.

    Nothing but metadata is read.
    """
    stated = read_metadata(image) if isinstance(image, Path) else image
    path, own, multiscale = stated.path, stated.own, stated.ome.multiscales[0]
    voxel_size, offset_nm = _place(multiscale, path)
    array = _level(path, multiscale.datasets[0].path, own)
    dtype = array.dtype
    if dtype.name not in DTYPES:
        raise ValueError(f"{path} holds {dtype.name}; allowed: {', '.join(DTYPES)}")
    return Volume(
        array,
        voxel_size=voxel_size,
        offset_nm=offset_nm,
        kind=(own.kind or stated.kind) if np.issubdtype(dtype, np.unsignedinteger) else "image",
        original=own.original,
        window=own.window,
        padding=own.padding,
        identity=stated.identity,
        name=str(path),
    )


def open_levels(image: Path | Metadata) -> list[Stored]:
    """Open all levels of an NGFF image, the finest first; given as to `open_image`."""
    stated = read_metadata(image) if isinstance(image, Path) else image
    datasets = stated.ome.multiscales[0].datasets
    return [_level(stated.path, dataset.path, stated.own) for dataset in datasets]


def _level(image: Path, name: str, own: OwnMetadata | None = None) -> Stored:
    return open_array(image / name, stored=((own and own.shards) or {}).get(name))


def _place(multiscale: v05.Multiscale, path: Path) -> tuple[Nm3, Nm3]:
    """Return voxel size and offset of the finest level, nm."""
    units = [_unit_nm(getattr(axis, "unit", None), path) for axis in multiscale.axes]
    size, offset = np.ones(3), np.zeros(3)
    steps = [
        *multiscale.datasets[0].coordinateTransformations,
        *(multiscale.coordinateTransformations or []),
    ]
    with np.errstate(all="ignore"):  # a volume refuses what is not finite
        for step in steps:
            if isinstance(step, v05.ScaleTransformation):
                size, offset = size * step.scale, offset * step.scale
            else:
                offset = offset + step.translation
    z, y, x = (float(s * unit) for s, unit in zip(size, units, strict=True))
    o, p, q = (float(t * unit) for t, unit in zip(offset, units, strict=True))
    return (z, y, x), (o, p, q)
