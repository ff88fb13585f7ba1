"""Neuroglancer precomputed volumes, local or remote: raw, jpeg, png, compressed segmentation.

::

    voxel_offset = 2, resolution = 8 nm          0 nm    8     16    24    32
    the corner of the first voxel is at 16 nm    |       |     |  #  |  #  |
    and its centre, asem's offset, at 20 nm                       ^

All lists in ``info`` are in the order (x, y, z). `asem export` adds the exact position of a scale
(`OFFSET_KEY`), since ``voxel_offset`` is a whole number of voxels.

Local chunks that cloud-volume compressed as files (``0-64_0-64_0-64.gz``) are an error: they would
be read as missing, that is as zeros. Servers send them with the header Content-Encoding.
"""

import os
from itertools import islice
from typing import Any

import tensorstore as ts

from asem.config import NmZYX, check_numbers, shorten
from asem.volume.address import Address
from asem.volume.channel_selection import select_channel
from asem.volume.formats.chunked_array import make_chunked_array
from asem.volume.formats.folder import FolderMetadata
from asem.volume.formats.source_image import SourceImage, SourceLevel, SourceOptions
from asem.volume.formats.stores import open_store
from asem.volume.roi import per_axis
from asem.volume.volume import VolumeKind

NAME = "neuroglancer precomputed"
DRIVER = "neuroglancer_precomputed"
VOLUME_TYPE = "neuroglancer_multiscale_volume"
OTHER_TYPES = {
    "neuroglancer_legacy_mesh": "meshes",
    "neuroglancer_multilod_draco": "meshes",
    "neuroglancer_skeletons": "skeletons",
    "neuroglancer_annotations_v1": "annotations",
    "neuroglancer_segment_properties": "properties of segments",
}
"""Values of ``@type`` that are no volumes, and what they are."""
KINDS: dict[str, VolumeKind] = {"image": "image", "segmentation": "labels"}
OFFSET_KEY = "asem_offset_nm"
"""Exact position of the centre of the first voxel, nm along (x, y, z); only asem writes it."""
MAX_SHIFT_VOXELS = 0.501
"""Largest difference of the exact position from ``voxel_offset``: beyond, another program has
changed the latter."""
ENCODINGS = ("raw", "png", "jpeg", "compressed_segmentation")
COMPRESSED_SUFFIXES = (".gz", ".br", ".zstd", ".xz", ".bz2")
"""Suffixes of chunks that cloud-volume compressed as files."""
MAX_LISTED_CHUNKS = 100
"""Names of chunks that are read to find such a suffix."""
MAX_SCALES = 256
MAX_NUMBER = 1e15
"""Largest number of nm or voxels that is read."""


def is_format(folder: FolderMetadata) -> bool:
    """Return whether a folder is described by neuroglancer's ``info``."""
    info = folder.get("info")
    return "scales" in info or str(info.get("@type")).startswith("neuroglancer_")


def may_be_volume(folder: FolderMetadata) -> bool:
    """Return whether a folder of this format is not stated to be meshes, skeletons or the like."""
    return folder.get("info").get("@type") not in OTHER_TYPES


def open_folder(
    folder: FolderMetadata, options: SourceOptions, kind: VolumeKind | None
) -> SourceImage:
    """Open a precomputed volume; its scales are the levels, the finest first.

    Parameters
    ----------
    folder
        The folder of ``info``.
    options
        Channel.
    kind
        Requested kind; ``type`` of the volume states it.

    Raises
    ------
    ValueError
        ``info`` is invalid or describes meshes, skeletons or annotations; or there are several
        channels and none is selected.
    """
    info = folder.get("info")
    _check_is_volume(info, folder.address)
    for scale in info["scales"]:
        _check_chunks_are_readable(scale, folder.address)
    placements = [_placement(scale, folder.address) for scale in info["scales"]]
    finest_first = sorted(range(len(placements)), key=lambda n: _volume(placements[n][0]))
    levels = [
        SourceLevel(_open_scale(folder.address, n, options.channel), *placements[n])
        for n in finest_first
    ]
    return SourceImage(
        folder.address, NAME, tuple(levels), folder.identity(), kind=KINDS[info["type"]]
    )


def _check_is_volume(info: dict[str, Any], address: Address) -> None:
    """Raise ValueError where ``info`` does not describe a volume."""
    stated = info.get("@type", VOLUME_TYPE)
    if stated != VOLUME_TYPE:
        content = OTHER_TYPES.get(stated) if isinstance(stated, str) else None
        raise ValueError(
            f"{address} holds {content or shorten(stated)}, no voxels; name the folder of the "
            "volume, whose info has 'scales'"
        )
    scales = info.get("scales")
    if not isinstance(scales, list) or not all(isinstance(scale, dict) for scale in scales):
        raise ValueError(f"{address}/info: 'scales' must be a list of objects")
    if not 1 <= len(scales) <= MAX_SCALES:
        raise ValueError(f"{address}/info has {len(scales)} scales; 1 to {MAX_SCALES} can be read")
    if info.get("type") not in list(KINDS):
        raise ValueError(
            f"{address}/info: 'type' is {shorten(info.get('type'))}; allowed: {', '.join(KINDS)}"
        )


def _check_chunks_are_readable(scale: dict[str, Any], address: Address) -> None:
    """Raise ValueError for an unknown encoding, and for local chunks that are compressed files."""
    encoding, key = scale.get("encoding"), scale.get("key")
    if encoding not in ENCODINGS:
        raise ValueError(
            f"{address}/info: the encoding is {shorten(encoding)}; {', '.join(ENCODINGS)} can be "
            "read: convert the volume with cloud-volume or igneous"
        )
    if address.is_remote or not isinstance(key, str):
        return
    folder = address.join(key).path
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, MAX_LISTED_CHUNKS)]
    except OSError:  # no chunk is stored, or tensorstore raises the error
        return
    if compressed := [name for name in names if name.endswith(COMPRESSED_SUFFIXES)]:
        advice = "decompress them"
        if all(name.endswith(".gz") for name in compressed):
            advice = f"decompress them with gunzip -r {folder}"
        raise ValueError(
            f"{address} has compressed chunks ({shorten(compressed[0], str)}), as cloud-volume "
            f"writes them; {advice}, or give the URL of a server that sends them decompressed"
        )


def _placement(scale: dict[str, Any], address: Address) -> tuple[NmZYX, NmZYX]:
    """Return the voxel size of a scale, and the position of the centre of its first voxel, nm."""
    voxel_size = _read_numbers(scale, "resolution", address)
    first = _read_numbers(scale, "voxel_offset", address) if "voxel_offset" in scale else (0.0,) * 3
    offset_nm = per_axis(lambda voxels, nm: (voxels + 0.5) * nm, first, voxel_size)
    if OFFSET_KEY not in scale or min(voxel_size) <= 0:
        return voxel_size, offset_nm
    exact = _read_numbers(scale, OFFSET_KEY, address)
    shift = per_axis(lambda a, b, nm: abs(a - b) / nm, exact, offset_nm, voxel_size)
    return voxel_size, exact if max(shift) <= MAX_SHIFT_VOXELS else offset_nm


def _read_numbers(scale: dict[str, Any], key: str, address: Address) -> NmZYX:
    """Return three numbers of a scale in the order (z, y, x)."""
    value = scale.get(key)
    check_numbers(f"{address}/info: {key}", value, 3, "along (x, y, z)")
    if value is None or not all(abs(number) <= MAX_NUMBER for number in value):
        raise ValueError(f"{address}/info: {key} {shorten(value)} is too large")
    x, y, z = (float(number) for number in value)
    return z, y, x


def _volume(voxel_size: NmZYX) -> float:
    z, y, x = voxel_size
    return z * y * x


def _open_scale(address: Address, number: int, channel: str | None) -> Any:
    """Open the array of one scale and select its channel; tensorstore validates ``info``."""
    store = open_store(address, DRIVER, scale_index=number)
    first = int(store.domain["channel"].inclusive_min)
    channels = range(store.domain["channel"].size)
    selected = first + select_channel(channels, (), channel, str(address))
    store = store[ts.d["channel"][selected : selected + 1]]
    return make_chunked_array(address, store, (2, 1, 0))
