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
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from pydantic import ValidationError
from yaozarrs import v05

from asem.config import Nm3
from asem.provenance import file_identity
from asem.volume.roi import Triple
from asem.volume.volume import OriginalGrid, Volume

CHUNK = 64
SHARD = 256
DEEPEST_AXIS = 64
"""A pyramid ends when no axis that may be halved has more voxels."""


@dataclass(frozen=True)
class Level:
    """One level of a pyramid.

    Parameters
    ----------
    path
        Name of its array in the image group.
    shape
        Voxels along (z, y, x).
    factors
        Voxels of the level before that make one of this.
    voxel_size, offset_nm
        nm; the offset holds the shift of half a voxel that averaging makes.
    """

    path: str
    shape: Triple
    factors: Triple
    voxel_size: Nm3
    offset_nm: Nm3


def pyramid(shape: Triple, voxel_size: Nm3, offset_nm: Nm3) -> list[Level]:
    """Plan the levels of an image.

    An axis is halved only while its voxel size is less than twice the smallest, so that
    anisotropic voxels become isotropic on the way down.

    Examples
    --------
    >>> [level.shape for level in pyramid((20, 256, 256), (50, 5, 5), (0, 0, 0))]
    [(20, 256, 256), (20, 128, 128), (20, 64, 64)]
    """
    levels = [Level("0", shape, (1, 1, 1), voxel_size, offset_nm)]
    while True:
        last = levels[-1]
        finest = min(last.voxel_size)
        halved = [
            s < 2 * finest and n > 1 for s, n in zip(last.voxel_size, last.shape, strict=True)
        ]
        if not any(h and n > DEEPEST_AXIS for h, n in zip(halved, last.shape, strict=True)):
            return levels
        z, y, x = (2 if h else 1 for h in halved)
        factors = (z, y, x)
        each = list(zip(last.shape, factors, last.voxel_size, last.offset_nm, strict=True))
        d, h, w = (-(-n // f) for n, f, _, _ in each)
        a, b, c = (size * f for _, f, size, _ in each)
        o, p, q = (offset + (f - 1) / 2 * size for _, f, size, offset in each)
        levels.append(Level(str(len(levels)), (d, h, w), factors, (a, b, c), (o, p, q)))


def create_level(image: Path, level: Level, dtype: np.dtype[Any], *, labels: bool) -> Any:
    """Create (or open, if it is there) the array of one level; returns a tensorstore array."""
    compressor = {"cname": "zstd" if labels else "lz4", "clevel": 5, "shuffle": "bitshuffle"}
    inner: list[dict[str, Any]] = [
        {"name": "bytes"} if dtype.itemsize == 1 else {"name": "bytes", "configuration": _LITTLE},
        {"name": "blosc", "configuration": compressor},
    ]
    sharding = {
        "chunk_shape": [CHUNK] * 3,
        "codecs": inner,
        "index_codecs": [{"name": "bytes", "configuration": _LITTLE}, {"name": "crc32c"}],
    }
    metadata = {
        "shape": list(level.shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [SHARD] * 3}},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": ["z", "y", "x"],
        "fill_value": 0,
    }
    return ts.open(
        {
            "driver": "zarr3",
            "kvstore": _kvstore(image / level.path),
            "metadata": metadata,
        },
        open=True,
        create=True,
    ).result()


def _kvstore(array: Path) -> dict[str, str]:
    """Name a folder to tensorstore, which takes neither `..` nor a relative path."""
    return {"driver": "file", "path": f"{array.resolve()}/"}


_LITTLE = {"endian": "little"}


def write_metadata(image: Path, volume: Volume, levels: list[Level], made: dict[str, Any]) -> None:
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
    asem = {
        "uuid": str(uuid.uuid4()),
        "kind": volume.kind,
        "original": {"shape": volume.grid.shape, "origin_nm": volume.grid.origin_nm},
        "made_by": made,
    }
    metadata = ome.model_dump(mode="json", by_alias=True, exclude_none=True)
    _write_groups_above(image)
    _write_group(image, {"ome": metadata, "asem": asem})


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


def _write_group(path: Path, attributes: Mapping[str, Any]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    partial = path / "zarr.json.partial"
    partial.write_text(json.dumps(document, indent=1))
    partial.replace(path / "zarr.json")


def _write_groups_above(image: Path) -> None:
    """Make the folders between `NAME.zarr` and the image groups, and list labels."""
    parents = list(image.absolute().parents)
    containers = [i for i, parent in enumerate(parents) if parent.suffix == ".zarr"]
    for parent in parents[: containers[-1] + 1] if containers else []:
        attributes = _attributes(parent)
        if parent == image.absolute().parent and parent.name == "labels":
            listed = attributes.get("ome", {}).get("labels", [])
            group = v05.LabelsGroup(labels=sorted({*listed, image.name}))
            attributes = {**attributes, "ome": group.model_dump(mode="json")}
        elif (parent / "zarr.json").exists():
            continue
        _write_group(parent, attributes)


def _attributes(group: Path) -> dict[str, Any]:
    """Return a Zarr 3 group's attributes; empty where there is no group."""
    document = group / "zarr.json"
    if not document.exists():
        return {}
    try:
        attributes = json.loads(document.read_text()).get("attributes", {})
    except (json.JSONDecodeError, UnicodeDecodeError, AttributeError) as error:
        raise ValueError(f"{document} is no Zarr metadata: {error}") from error
    return dict(attributes)


def is_image(path: Path) -> bool:
    """Whether a finished NGFF image lies at `path`."""
    return "multiscales" in _attributes(path).get("ome", {})


def read_metadata(path: Path) -> tuple[v05.Image, dict[str, Any]]:
    """Return the validated NGFF metadata of an image and asem's own beside it.

    Raises
    ------
    ValueError
        There is no finished image at `path`; the message says what there is instead.
    """
    attributes = _attributes(path)
    if "multiscales" not in attributes.get("ome", {}):
        raise ValueError(_not_an_image(path))
    try:
        ome = v05.Image.model_validate(attributes["ome"])
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ValueError(f"{path}: bad OME-NGFF metadata at {where}: {fault['msg']}") from error
    if [axis.name for axis in ome.multiscales[0].axes] != ["z", "y", "x"]:
        raise ValueError(f"{path}: only images with the axes (z, y, x) can be read")
    return ome, attributes.get("asem", {})


def _not_an_image(path: Path) -> str:
    if (path / ".asem").exists():
        return f"{path} is not finished; run the command that made it again, and it goes on"
    # Images lie one level down (raw), two (labels/mito) or three (predictions/run/probability).
    below = (f"{'*/' * depth}zarr.json" for depth in (1, 2, 3))
    inner = [entry.parent for pattern in below for entry in path.glob(pattern)]
    images = sorted(str(entry) for entry in inner if is_image(entry))
    if images:
        names = ", ".join(images[:5]) + (", ..." if len(images) > 5 else "")
        return f"{path} is a container; name one of its images: {names}"
    return f"{path} is no OME-NGFF 0.5 image and holds no TIFF plane (*.tif, *.tiff)"


def open_array(path: Path) -> Any:
    """Open a Zarr 3 array to read; returns a tensorstore array."""
    spec = {"driver": "zarr3", "kvstore": _kvstore(path)}
    try:
        return ts.open(spec, read=True).result()
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].split(" [")[0]


def _unit_nm(unit: str | None, path: Path) -> float:
    lengths = {"angstrom": 0.1, "nanometer": 1.0, "micrometer": 1e3, "millimeter": 1e6}
    if unit not in lengths:
        raise ValueError(f"{path}: axes in '{unit}' have no length; allowed: {', '.join(lengths)}")
    return lengths[unit]


def open_image(path: Path) -> Volume:
    """Open the finest level of an NGFF image; nothing but metadata is read."""
    ome, own = read_metadata(path)
    dataset = ome.multiscales[0].datasets[0]
    units = [_unit_nm(getattr(axis, "unit", None), path) for axis in ome.multiscales[0].axes]
    z, y, x = (s * unit for s, unit in zip(dataset.scale_transform.scale, units, strict=True))
    translation = dataset.translation_transform
    origin = translation.translation if translation else (0.0, 0.0, 0.0)
    o, p, q = (t * unit for t, unit in zip(origin, units, strict=True))
    window = None
    if ome.omero is not None:
        channel = ome.omero.channels[0].window
        window = (channel.start, channel.end)
    original = None
    if "original" in own:
        d, h, w = own["original"]["shape"]
        c, b, a = own["original"]["origin_nm"]
        original = OriginalGrid((d, h, w), (c, b, a))
    array = open_array(path / dataset.path)
    integer = np.issubdtype(array.dtype.numpy_dtype, np.unsignedinteger)
    stated = "labels" if "image-label" in _attributes(path)["ome"] else "image"
    return Volume(
        array,
        voxel_size=(z, y, x),
        offset_nm=(o, p, q),
        kind="labels" if integer and own.get("kind", stated) == "labels" else "image",
        original=original,
        window=window,
        identity=own.get("uuid") or file_identity(path / "zarr.json"),
        name=str(path),
    )
