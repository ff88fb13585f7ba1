"""Mesh folders in neuroglancer's precomputed formats, and the instances that they belong to.

::

    cell.zarr/predictions/mito/instances
    cell.zarr/predictions/mito/meshes/info     "@type": "neuroglancer_multilod_draco", "asem": {...}
                                     /7        mesh of object 7; or N.shard: of many objects
                                     /7.index
"""

import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorstore as ts

from asem.system.json_toml import read_json
from asem.view.layers import DIMENSIONS, NM
from asem.view.served_content import FileFolder, FileTree

LOG = logging.getLogger(__name__)
TYPES = ("neuroglancer_multilod_draco", "neuroglancer_legacy_mesh")
MAX_SHOWN = 1000
"""Meshes that are displayed at first: the largest."""
MAX_LISTED = 10**6
FILES = r"\d{1,20}(:[\w-]{1,80}){0,2}|\d{1,20}\.index|[0-9a-f]{1,16}\.shard"
"""Names of files in a mesh folder."""
_MESH = re.compile(r"(\d{1,20})(:0)?", flags=re.ASCII)


@dataclass(frozen=True)
class MeshFolder:
    """A folder of meshes.

    Parameters
    ----------
    path
        The folder.
    info
        Its ``info``.
    """

    path: Path
    info: dict[str, Any]

    @property
    def source(self) -> FileTree:
        """Files that are served; ``info`` without the record of what made it."""
        public = {key: value for key, value in self.info.items() if key != "asem"}
        properties = re.escape(str(self.info.get("segment_properties", "segment_properties")))
        folders = {"": FileFolder(self.path, rf"{FILES}|{properties}/info")}
        return FileTree(folders, {"info": json.dumps(public).encode()})

    def to_json(self, url: str) -> dict[str, Any]:
        """Return the source of a layer; positions of vertices are in nm."""
        dimensions = {name: list(NM) for name in DIMENSIONS}
        return {
            "url": f"{url}/|neuroglancer-precomputed:",
            "transform": {"outputDimensions": dimensions},
        }

    def find_segments(self) -> list[int]:
        """Return the ids of the meshes to display: all, or the `MAX_SHOWN` largest."""
        if "sharding" in self.info:
            sizes = _sizes_in_properties(self) or _sizes_in_shards(self)
        else:
            sizes = _sizes_of_files(self.path)
        if len(sizes) > MAX_SHOWN:
            LOG.warning(
                "%s has %d meshes; the %d largest are displayed, others when they are selected",
                self.path,
                len(sizes),
                MAX_SHOWN,
            )
        largest = sorted(sizes, key=lambda one: sizes[one], reverse=True)[:MAX_SHOWN]
        return sorted(largest)


def open_meshes(path: Path) -> MeshFolder | None:
    """Return a mesh folder; None where a path is none.

    Raises
    ------
    ValueError
        Its ``info`` is damaged.
    """
    document = path / "info"
    if not document.is_file():
        return None
    info = read_json(document)
    return MeshFolder(path, info) if info.get("@type") in TYPES else None


def find_meshes(folder: Path) -> list[MeshFolder]:
    """Return the mesh folders directly in a folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    found = (open_meshes(folder / name) for name in names if not name.startswith("."))
    return [one for one in found if one is not None]


def _sizes_of_files(folder: Path) -> dict[int, int]:
    sizes: dict[int, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            match = _MESH.fullmatch(entry.name)
            if match and len(sizes) < MAX_LISTED:
                sizes[int(match[1])] = entry.stat().st_size
    return sizes


def _sizes_in_properties(meshes: MeshFolder) -> dict[int, int]:
    """Return the ids and voxels of the objects that `asem mesh` wrote; empty for other meshes."""
    file = meshes.path / str(meshes.info.get("segment_properties", "")) / "info"
    if "asem" not in meshes.info or not file.is_file():
        return {}
    try:
        inline = read_json(file)["inline"]
        voxels = next(one["values"] for one in inline["properties"] if one["id"] == "voxels")
        return dict(zip(map(int, inline["ids"]), map(int, voxels), strict=True))
    except (KeyError, TypeError, ValueError, StopIteration) as error:
        LOG.warning("%s: the sizes of its meshes cannot be read (%s)", file, error)
        return {}


def _sizes_in_shards(meshes: MeshFolder) -> dict[int, int]:
    """Return the ids in shards; their sizes are not read."""
    base = {"driver": "file", "path": f"{meshes.path.resolve()}/"}
    spec = {
        "driver": "neuroglancer_uint64_sharded",
        "metadata": meshes.info["sharding"],
        "base": base,
    }
    try:
        keys = ts.KvStore.open(spec).result().list().result()
    except (ValueError, NotImplementedError) as error:
        LOG.warning("%s: the ids of its meshes cannot be listed (%s)", meshes.path, error)
        return {}
    return {int.from_bytes(key, "big"): 0 for key in keys[:MAX_LISTED]}
