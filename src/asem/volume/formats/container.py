"""List the images in a container: a folder of N5 or Zarr that is no image itself.

::

    cell.n5/em/fibsem-uint8, cell.n5/labels/mito_seg         as listed in a message

A local container is searched to a depth of four folders. A remote one is searched where its
metadata are consolidated (Zarr), or where the bucket may be listed; a web server has no list of
its folders. The number of folders and the time are limited.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

from asem.volume.address import Address
from asem.volume.formats.folder import DOCUMENT_NAMES, FolderMetadata, read_folder
from asem.volume.formats.listing import list_subfolders
from asem.volume.formats.stores import read_optional_document

MAX_DEPTH, MAX_FOLDERS, MAX_SECONDS = 4, 500, 20.0
"""Limits of a search: folders below the container, folders read, and time."""
MAX_NAMES = 8
"""Images that a message lists."""
CONSOLIDATED = ".zmetadata"
"""Document of Zarr 2 with the metadata of all groups and arrays below."""


def describe_container(folder: FolderMetadata, is_image: Callable[[FolderMetadata], bool]) -> str:
    """Return a message that lists the images in a container; empty where it contains none.

    Parameters
    ----------
    folder
        The container.
    is_image
        Whether a folder is an image in any format.
    """
    names = _list_consolidated(folder) or list(_search(folder, is_image))
    if not names:
        return ""
    listed = ", ".join(names[:MAX_NAMES]) + (", ..." if len(names) > MAX_NAMES else "")
    example = folder.address.join(names[0])
    return f"{folder.address} is a container; name one of its images: {listed}, as in {example}"


def _search(folder: FolderMetadata, is_image: Callable[[FolderMetadata], bool]) -> Iterator[str]:
    """Yield the path of each image below a folder, breadth first."""
    end, count = time.monotonic() + MAX_SECONDS, 0
    paths = [""]
    for _ in range(MAX_DEPTH):
        below = [path for parent in paths for path in _list_paths(folder.address, parent)]
        paths = []
        for path in below:
            count += 1
            if count > MAX_FOLDERS or time.monotonic() > end:
                return
            try:
                found = read_folder(folder.address.join(path))
                recognized = is_image(found)
            except (OSError, ValueError):  # a damaged one is not listed
                continue
            if recognized:
                yield path
            else:
                paths.append(path)


def _list_paths(container: Address, parent: str) -> list[str]:
    folder = container.join(parent) if parent else container
    return [f"{parent}/{name}" if parent else name for name in list_subfolders(folder)]


def _list_consolidated(folder: FolderMetadata) -> list[str]:
    """Return the paths of images in consolidated metadata of Zarr; empty where there are none."""
    consolidated = folder.get("zarr.json").get("consolidated_metadata")
    if isinstance(consolidated, dict):
        return _find_images(_entries(consolidated))
    if folder.address.is_remote and ".zgroup" in folder.documents:
        return _find_images(_entries(read_optional_document(folder.address.join(CONSOLIDATED))))
    return []


def _entries(consolidated: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the metadata documents of each path."""
    metadata = consolidated.get("metadata")
    documents: dict[str, list[dict[str, Any]]] = {}
    for key, document in metadata.items() if isinstance(metadata, dict) else ():
        path = PurePosixPath(key)
        name = str(path.parent if path.name in DOCUMENT_NAMES else path)
        if isinstance(document, dict) and name != ".":
            documents.setdefault(name, []).append(document)
    return documents


def _find_images(documents: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the images with several levels, and the arrays that are not in one."""
    groups, arrays = [], []
    for path, found in documents.items():
        attributes = [one.get("attributes", one) for one in found]
        nested = [one.get("ome", one) for one in attributes if isinstance(one, dict)]
        if any("multiscales" in one for one in nested if isinstance(one, dict)):
            groups.append(path)
        elif any("shape" in one for one in found):
            arrays.append(path)
    images = {PurePosixPath(path) for path in groups}
    single = [path for path in arrays if not images & set(PurePosixPath(path).parents)]
    return sorted([*groups, *single])
