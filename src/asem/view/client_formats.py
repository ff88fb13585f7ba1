"""Local images that neuroglancer's client reads itself: Zarr 2 and 3, N5 and precomputed.

::

    raw/zarr.json         written here: levels with voxel sizes and positions, in nm
    raw/0/zarr.json       written here from that of the array, without its attributes
    raw/0/c/1/2/3         the file on disk, by ranges

The client gets metadata of one form whatever the image states its position in, and none of
other programs. In it the first voxel of the finest level starts at 0; the transform of the layer
places it (`asem.view.layers`).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from operator import add
from pathlib import Path
from typing import Any

from asem.config import NmZYX
from asem.view.served_content import Content, FileFolder, FileTree, Source
from asem.volume.formats.chunked_array import ChunkedArray
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import ZarrArray

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32")
CODECS = ("bytes", "blosc", "zstd", "gzip", "crc32c", "sharding_indexed", "transpose")
"""Of Zarr 3."""
COMPRESSORS = (None, "blosc", "zlib", "gzip", "zstd")
"""Of Zarr 2."""
N5_COMPRESSIONS = ("raw", "gzip", "blosc", "zstd")
MAX_CHUNK_BYTES = 2**26
"""Largest chunk that the client decodes, bytes; larger ones are read here (`virtual_image`)."""
ZARR3_KEYS = (
    "zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs",
    "fill_value",
)  # fmt: skip
_CHUNK = re.compile(r"(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)_(-?\d+)-(-?\d+)", flags=re.ASCII)
"""Name of a chunk of a precomputed volume."""
ALIGNMENT_TOLERANCE = 0.01
"""Deviation of the corner of a level from that of the finest one, voxels of the finest."""


@dataclass(frozen=True)
class ClientImage:
    """An image as the client reads it.

    Parameters
    ----------
    source
        What is served.
    format
        Name of neuroglancer's driver in the address of the source.
    axes
        Names of the axes in the order of the client, each of z, y and x.
    first
        Index of the first voxel as the client numbers them, in the order of `axes`.
    """

    source: Source
    format: str
    axes: tuple[str, ...]
    first: tuple[int, ...] = (0, 0, 0)


@dataclass(frozen=True)
class StoredArray:
    """An array on disk.

    Parameters
    ----------
    folder
        Of the array; of a precomputed volume, with ``info``.
    driver
        Of tensorstore.
    metadata
        As it is stored.
    axes
        Names of the stored axes.
    first
        Index of the first voxel, in the order of `axes`.
    """

    folder: Path
    driver: str
    metadata: dict[str, Any]
    axes: tuple[str, ...]
    first: tuple[int, ...]


def find_client_image(levels: Sequence[Volume]) -> ClientImage | None:
    """Return how the client reads an image; None where it cannot.

    Parameters
    ----------
    levels
        From `asem.volume.sources.open_levels`, the finest first. Their voxels are served as they
        are stored: an array whose values are converted when it is read is none for the client.
    """
    stored = [_find_stored(volume) for volume in levels]
    arrays = [one for one in stored if one is not None]
    if len(arrays) < len(stored) or len({(one.driver, one.axes) for one in arrays}) > 1:
        return None
    if len({volume.dtype for volume in levels}) > 1 or levels[0].dtype.name not in DTYPES:
        return None
    make = MAKERS.get(arrays[0].driver)
    return make(levels, arrays) if make else None


def _find_stored(volume: Volume) -> StoredArray | None:
    """Return the array on disk of a level; None where its voxels are converted, or not local."""
    array = volume.array
    if isinstance(array, ZarrArray):
        folder = array.path
    elif isinstance(array, ChunkedArray) and not array.address.is_remote:
        folder = array.address.path
    else:
        return None
    if prod(array.chunk) * array.dtype.itemsize > MAX_CHUNK_BYTES:
        return None
    spec = array.store.spec().to_json()
    identity = [{"input_dimension": axis} for axis in range(3)]
    output = spec["transform"].get("output", identity)
    is_precomputed = spec["driver"] == "neuroglancer_precomputed"
    axes = output[:3] if is_precomputed else output  # without the channel
    if len(axes) != len("zyx") or any("input_dimension" not in axis for axis in axes):
        return None
    names = tuple("zyx"[axis["input_dimension"]] for axis in axes)
    first = tuple(int(axis.get("offset", 0)) for axis in axes)
    metadata = spec["scale_metadata"] if is_precomputed else spec["metadata"]
    if is_precomputed and spec["multiscale_metadata"].get("num_channels") != 1:
        return None
    return StoredArray(folder, spec["driver"], metadata, names, first)


def _make_zarr3(levels: Sequence[Volume], arrays: Sequence[StoredArray]) -> ClientImage | None:
    documents, folders = {}, {}
    for number, array in enumerate(arrays):
        stored = array.metadata
        encoding = stored.get("chunk_key_encoding", {"name": "default"})
        is_default = encoding["name"] == "default"
        separator = encoding.get("configuration", {}).get("separator", "/" if is_default else ".")
        if not set(_codec_names(stored["codecs"])) <= set(CODECS):
            return None
        metadata = {key: stored[key] for key in ZARR3_KEYS if key in stored}
        metadata["shape"] = shape_within(levels[0], levels[number], array)
        documents[f"{number}/zarr.json"] = _encode(metadata)
        pattern = ("c" + re.escape(separator) if is_default else "") + _index_pattern(separator)
        folders[str(number)] = FileFolder(array.folder, pattern)
    ome = {"version": "0.5", "multiscales": [_multiscale(levels, arrays[0].axes)]}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    documents["zarr.json"] = _encode(group)
    return ClientImage(FileTree(folders, documents), "zarr3", arrays[0].axes)


def _codec_names(codecs: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names of codecs, with those within shards."""
    names = []
    for codec in codecs:
        configuration = codec.get("configuration", {})
        inner = [*configuration.get("codecs", []), *configuration.get("index_codecs", [])]
        names += [codec["name"], *_codec_names(inner)]
    return names


def _make_zarr2(levels: Sequence[Volume], arrays: Sequence[StoredArray]) -> ClientImage | None:
    documents, folders = {}, {}
    for number, array in enumerate(arrays):
        compressor = array.metadata.get("compressor")
        if (compressor and compressor["id"]) not in COMPRESSORS or array.metadata.get("filters"):
            return None
        shape = shape_within(levels[0], levels[number], array)
        documents[f"{number}/.zarray"] = _encode({**array.metadata, "shape": shape})
        documents[f"{number}/.zattrs"] = b"{}"
        separator = array.metadata.get("dimension_separator", ".")
        folders[str(number)] = FileFolder(array.folder, _index_pattern(separator))
    multiscale = {"version": "0.4", **_multiscale(levels, arrays[0].axes)}
    documents[".zgroup"] = _encode({"zarr_format": 2})
    documents[".zattrs"] = _encode({"multiscales": [multiscale]})
    return ClientImage(FileTree(folders, documents), "zarr2", arrays[0].axes)


def _multiscale(levels: Sequence[Volume], axes: tuple[str, ...]) -> dict[str, Any]:
    """Return NGFF's description of levels; the corner of the finest is at 0.

    NGFF positions centres of voxels, and the client subtracts half a voxel again.
    """
    finest, order = levels[0], ["zyx".index(name) for name in axes]
    corner = _corner(finest)
    datasets = []
    for number, level in enumerate(levels):
        centre = [level.offset_nm[axis] - corner[axis] for axis in order]
        scale = [level.voxel_size[axis] for axis in order]
        steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": centre}]
        datasets.append({"path": str(number), "coordinateTransformations": steps})
    units = [{"name": name, "type": "space", "unit": "nanometer"} for name in axes]
    return {"axes": units, "datasets": datasets}


def _make_n5(levels: Sequence[Volume], arrays: Sequence[StoredArray]) -> ClientImage | None:
    documents, folders, axes = {}, {}, arrays[0].axes
    order = ["zyx".index(name) for name in axes]
    for number, array in enumerate(arrays):
        if array.metadata["compression"]["type"] not in N5_COMPRESSIONS:
            return None
        keys = ("dimensions", "blockSize", "dataType", "compression")
        stored = {key: array.metadata[key] for key in keys}
        stored["dimensions"] = shape_within(levels[0], levels[number], array)
        documents[f"s{number}/attributes.json"] = _encode(stored)
        folders[f"s{number}"] = FileFolder(array.folder, _index_pattern("/"))
    if not all(is_corner_aligned(levels[0], level) for level in levels):
        return None
    finest = levels[0].voxel_size
    scales = [[level.voxel_size[axis] / finest[axis] for axis in order] for level in levels]
    size = [finest[axis] for axis in order]
    attributes = {"axes": axes, "units": ["nm"] * 3, "resolution": size, "scales": scales}
    documents["attributes.json"] = _encode(attributes)
    return ClientImage(FileTree(folders, documents), "n5", axes)


@dataclass(frozen=True)
class ShiftedChunks:
    """Files of a precomputed volume whose chunks are requested by numbers of another origin.

    ``voxel_offset`` is a whole number of voxels of each scale, so that scales do not start at the
    same position. Where `asem export` has stored their exact positions, and these are the same, all
    scales are served with the offset 0.

    Parameters
    ----------
    files
        With the names on disk.
    offsets
        ``voxel_offset`` on disk along (x, y, z), by the key of the scale.
    """

    files: FileTree
    offsets: Mapping[str, Sequence[int]]

    def open(self, key: str) -> Content | None:
        """Return the content of a key; of a chunk with its name on disk."""
        scale, _, name = key.rpartition("/")
        match = _CHUNK.fullmatch(name)
        if match and scale in self.offsets:
            numbers = [int(group) for group in match.groups()]
            shifts = [shift for shift in self.offsets[scale] for _ in range(2)]
            low_x, high_x, low_y, high_y, low_z, high_z = map(add, numbers, shifts)
            key = f"{scale}/{low_x}-{high_x}_{low_y}-{high_y}_{low_z}-{high_z}"
        return self.files.open(key)


def _make_precomputed(
    levels: Sequence[Volume], arrays: Sequence[StoredArray]
) -> ClientImage | None:
    scales = [dict(array.metadata) for array in arrays]
    keys = [str(scale["key"]) for scale in scales]
    offsets = {key: array.first for key, array in zip(keys, arrays, strict=True)}
    is_shifted = all(is_corner_aligned(levels[0], level) for level in levels)
    for scale in scales:
        if scale.get("sharding") is None:
            scale.pop("sharding", None)
        scale["chunk_sizes"] = [scale.pop("chunk_size")]
        if is_shifted:
            scale["voxel_offset"] = [0, 0, 0]
    info = {
        "@type": "neuroglancer_multiscale_volume",
        "type": "segmentation" if levels[0].kind == "labels" else "image",
        "data_type": levels[0].dtype.name,
        "num_channels": 1,
        "scales": scales,
    }
    pattern = rf"({'|'.join(map(re.escape, keys))})/({_CHUNK.pattern}|[0-9a-f]+\.shard)"
    tree = FileTree({"": FileFolder(arrays[0].folder, pattern)}, {"info": _encode(info)})
    axes, name = arrays[0].axes, "neuroglancer-precomputed"
    if is_shifted:
        return ClientImage(ShiftedChunks(tree, offsets), name, axes)
    return ClientImage(tree, name, axes, arrays[0].first)


MAKERS: dict[str, Callable[[Sequence[Volume], Sequence[StoredArray]], ClientImage | None]] = {
    "zarr3": _make_zarr3,
    "zarr": _make_zarr2,
    "n5": _make_n5,
    "neuroglancer_precomputed": _make_precomputed,
}
"""By tensorstore's driver."""


def is_corner_aligned(finest: Volume, level: Volume) -> bool:
    """Return whether the first voxels of two levels have the same corner."""
    corners = zip(_corner(finest), _corner(level), finest.voxel_size, strict=True)
    return all(abs(a - b) <= ALIGNMENT_TOLERANCE * size for a, b, size in corners)


def _corner(volume: Volume) -> NmZYX:
    """Return the position of the corner of the first voxel, nm."""
    z, y, x = (
        centre - size / 2 for centre, size in zip(volume.offset_nm, volume.voxel_size, strict=True)
    )
    return z, y, x


def shape_within(finest: Volume, level: Volume, array: StoredArray) -> list[int]:
    """Return the voxels of a level that lie within the finest one, along the axes of its array.

    A level of 83 voxels of 10 nm ends 5 nm behind 165 voxels of 5 nm; 11 voxels of 80 nm, 55 nm
    behind. The client draws coarse levels where finer ones have no voxels: a strip outside of the
    image. At least one voxel remains.
    """
    ends = [
        corner + count * size
        for corner, count, size in zip(
            _corner(finest), finest.shape, finest.voxel_size, strict=True
        )
    ]
    starts, size = _corner(level), level.voxel_size
    inside = [
        max(1, min(count, int((end - start) / edge + ALIGNMENT_TOLERANCE)))
        for end, start, edge, count in zip(ends, starts, size, level.shape, strict=True)
    ]
    return [inside["zyx".index(name)] for name in array.axes]


def _index_pattern(separator: str) -> str:
    """Return the pattern of the key of a chunk: three numbers."""
    return re.escape(separator).join([r"\d+"] * 3)


def _encode(document: Any) -> bytes:
    return json.dumps(document).encode()
