"""Read and write OME-NGFF 0.5 images: metadata, groups, pyramid levels.

::

    cell.zarr/                 a Zarr group
      raw/                     an NGFF image, as given on the command line
        zarr.json              metadata; written last, so that an unfinished image has none
        0/ 1/ 2/               the levels, each a sharded Zarr 3 array
      labels/                  lists its label images
        mito/
"""

import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator
from yaozarrs import v05

from asem.config import Config, NmZYX
from asem.provenance import identify_files
from asem.volume.length_units import UNITS_NM
from asem.volume.pyramid_levels import PyramidLevel
from asem.volume.roi import per_axis
from asem.volume.shard_files import encode_shard_bitmap
from asem.volume.volume import OriginalGrid, Volume, VolumeKind
from asem.volume.zarr_arrays import DTYPES, ZarrArray, open_array
from asem.volume.zarr_groups import read_group_attributes, write_group, write_groups_above

NGFF_UNITS = ("angstrom", "nanometer", "micrometer", "millimeter")
"""Units of axes that can be read."""
UNFINISHED = Path(".asem", "journal.jsonl")
"""File of an output that is not finished."""
MAX_LIST_ENTRIES, MAX_PADDING_VALUES = 256, 256
"""Largest numbers of entries of a list in metadata (levels, axes) and of grey values of padding:
both are compared pairwise."""


def write_image_metadata(
    image: Path,
    volume: Volume,
    levels: list[PyramidLevel],
    provenance: dict[str, Any],
    *,
    check_before_publish: Callable[[], None] | None = None,
) -> None:
    """Write the NGFF metadata of a finished image, its parent groups and its entry in `labels`.

    Parameters
    ----------
    image
        The image group.
    volume
        The finished volume, the source of original grid, kind and window.
    levels
        Its pyramid, all written.
    provenance
        From `asem.provenance.make_provenance`.
    check_before_publish
        Called just before the metadata is published; if it raises, the image stays unfinished.
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
    own = AsemMetadata(
        uuid=str(uuid.uuid4()),
        kind=volume.kind,
        original=volume.original_grid,
        window=volume.window,
        padding=volume.padding,
        made_by=provenance,
        shards={
            level.path: encode_shard_bitmap(open_level(image, level.path).files) for level in levels
        },
    )
    metadata = ome.model_dump(mode="json", by_alias=True, exclude_none=True)
    write_groups_above(image, labels=volume.kind == "labels")
    attributes = {"ome": metadata, "asem": own.model_dump(mode="json")}
    write_group(image, {"attributes": attributes}, check_before_publish)


def _dataset(level: PyramidLevel) -> v05.Dataset:
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


def is_image(path: Path) -> bool:
    """Return whether `path` is a finished NGFF image."""
    try:
        return "multiscales" in read_group_attributes(path).get("ome", {})
    except ValueError:
        return False


class AsemMetadata(Config):
    """Attributes of an image under the key `asem`, next to its NGFF metadata."""

    uuid: str | None = None
    kind: VolumeKind | None = None
    original: OriginalGrid | None = None
    window: tuple[float, float] | None = None
    """Contrast window. The window in `omero` is for display: viewers change it."""
    padding: tuple[float, ...] = Field((), max_length=MAX_PADDING_VALUES)
    made_by: dict[str, Any] | None = None
    shards: dict[str, str] | None = None
    """Shards of each level that have a file (`asem.volume.shard_files.encode_shard_bitmap`); None:
    any file may be missing."""

    @model_validator(mode="after")
    def _window_is_one(self) -> Self:
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError(f"the window {self.window} must start below its end")
        return self


@dataclass(frozen=True)
class ImageMetadata:
    """Validated content of an image's `zarr.json`, read once, as another image may replace it.

    Parameters
    ----------
    path
        The image group.
    ome
        NGFF metadata, without display settings.
    asem_metadata
        asem's own metadata.
    kind
        Kind according to the NGFF metadata.
    identity
        Identity of the content.
    """

    path: Path
    ome: v05.Image
    asem_metadata: AsemMetadata
    kind: VolumeKind
    identity: str


def read_image_metadata(path: Path) -> ImageMetadata:
    """Read and validate the metadata of an image.

    Raises
    ------
    ValueError
        `path` is not a finished image; the message states what it is instead.
    """
    attributes = read_group_attributes(path)
    if "multiscales" not in attributes.get("ome", {}):
        raise ValueError(describe_non_image(path))
    try:
        ngff = {key: value for key, value in attributes["ome"].items() if key != "omero"}
        check_list_lengths(ngff["multiscales"], path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names and units are checked below
            ome = v05.Image.model_validate(ngff)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{path}: bad OME-NGFF metadata at {key}: {first['msg']}") from error
    if [axis.name for axis in ome.multiscales[0].axes] != ["z", "y", "x"]:
        raise ValueError(f"{path}: only images with the axes (z, y, x) can be read")
    own = AsemMetadata.from_dict(attributes.get("asem", {}), source=f"{path}/zarr.json, 'asem'")
    kind: VolumeKind = "labels" if "image-label" in ngff else "image"
    identity = own.uuid or identify_files(path, [path / "zarr.json"])
    return ImageMetadata(path, ome, own, kind, identity)


def check_list_lengths(metadata: Any, path: object) -> None:
    """Raise ValueError where a list in metadata has more than `MAX_LIST_ENTRIES`."""
    if isinstance(metadata, list | dict):
        if isinstance(metadata, list) and len(metadata) > MAX_LIST_ENTRIES:
            raise ValueError(
                f"{path}: bad OME-NGFF metadata: a list has {len(metadata)} entries; at most "
                f"{MAX_LIST_ENTRIES} can be read"
            )
        for value in metadata.values() if isinstance(metadata, dict) else metadata:
            check_list_lengths(value, path)


def describe_non_image(path: Path) -> str:
    """Return what a path is instead of an image, for a message."""
    if (path / UNFINISHED).exists():
        return f"{path} is unfinished; run the same command again to resume"
    message = f"{path} is no image in a format that asem reads (docs/formats.md)"
    is_jpeg = path.is_dir() and any(
        file.suffix.lower() in (".jpg", ".jpeg") for file in path.iterdir()
    )
    if is_jpeg or path.is_file():
        message += "; save it as TIFF or PNG, for instance in Fiji"
    return message


def _unit_nm(unit: str | None, path: Path) -> float:
    if unit not in NGFF_UNITS:
        allowed = ", ".join(NGFF_UNITS)
        raise ValueError(f"{path}: axes in '{unit}' have no length; allowed: {allowed}")
    return UNITS_NM[unit]


def open_image(image: Path | ImageMetadata) -> Volume:
    """Open the finest level of an NGFF image, given by its path or by its metadata.

    Reads only metadata.
    """
    metadata = read_image_metadata(image) if isinstance(image, Path) else image
    path, own, multiscale = metadata.path, metadata.asem_metadata, metadata.ome.multiscales[0]
    voxel_size, offset_nm = _placement(multiscale, path)
    array = open_level(path, multiscale.datasets[0].path, own)
    dtype = array.dtype
    if dtype.name not in DTYPES:
        raise ValueError(f"{path} holds {dtype.name}; allowed: {', '.join(DTYPES)}")
    return Volume(
        array,
        voxel_size=voxel_size,
        offset_nm=offset_nm,
        kind=(own.kind or metadata.kind) if np.issubdtype(dtype, np.unsignedinteger) else "image",
        stated_grid=own.original,
        window=own.window,
        padding=own.padding,
        identity=metadata.identity,
        name=str(path),
    )


def open_levels(image: Path | ImageMetadata) -> list[ZarrArray]:
    """Open all levels of an NGFF image, given by path or metadata; the finest first."""
    metadata = read_image_metadata(image) if isinstance(image, Path) else image
    datasets, own = metadata.ome.multiscales[0].datasets, metadata.asem_metadata
    return [open_level(metadata.path, dataset.path, own) for dataset in datasets]


def open_level(image: Path, name: str, own: AsemMetadata | None = None) -> ZarrArray:
    """Open the array of a level, whose files are checked by what asem's metadata state."""
    return open_array(image / name, shard_bitmap=((own and own.shards) or {}).get(name))


def _placement(multiscale: v05.Multiscale, path: Path) -> tuple[NmZYX, NmZYX]:
    """Return voxel size and offset of the finest level, nm."""
    units = [_unit_nm(getattr(axis, "unit", None), path) for axis in multiscale.axes]
    size, offset = np.ones(3), np.zeros(3)
    transformations = [
        *multiscale.datasets[0].coordinateTransformations,
        *(multiscale.coordinateTransformations or []),
    ]
    with np.errstate(all="ignore"):  # `Volume` raises where a value is not finite
        for transformation in transformations:
            if isinstance(transformation, v05.ScaleTransformation):
                size, offset = size * transformation.scale, offset * transformation.scale
            else:
                offset = offset + transformation.translation

    def to_nm(value: float, unit: float) -> float:
        return float(value * unit)

    return per_axis(to_nm, size, units), per_axis(to_nm, offset, units)
