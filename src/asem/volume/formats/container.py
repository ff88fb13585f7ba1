"""List the images in a container: a folder that is no image itself.

::

    cell.n5 -> cell.n5/em/fibsem-uint8, cell.n5/labels/mito_seg

A local folder is searched for images in any format, a remote one for folders: where its metadata
are consolidated (Zarr), or where the bucket may be listed; a web server has no list of its folders.
The depth, the number of folders and images, and the time are limited.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from asem.volume.address import Address
from asem.volume.formats.folder import DOCUMENT_NAMES, FolderMetadata
from asem.volume.formats.listing import list_entries
from asem.volume.formats.stores import read_optional_document
from asem.volume.ngff import UNFINISHED

MAX_DEPTH, MAX_FOLDERS, MAX_SECONDS = 5, 1000, 20.0
"""Limits of a search: folders below the container, folders read, and time."""
MAX_IMAGES = 1000
"""Most images that are listed."""
MAX_NAMES = 8
"""Images that a message lists."""
MAX_PATH_CHARACTERS = 1000
"""Longest path in consolidated metadata."""
CONSOLIDATED = ".zmetadata"
"""Document of Zarr 2 with the metadata of all groups and arrays below."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class ImageList:
    """Images in a container.

    Parameters
    ----------
    addresses
        Of the images; those in fewer folders are first.
    is_complete
        Whether no limit of number or time ended the search.
    """

    addresses: tuple[Address, ...] = ()
    is_complete: bool = True


def list_images(
    folder: FolderMetadata, is_image: Callable[[Address], bool], *, limit: int | None = None
) -> ImageList:
    """Return the images in a container; damaged images and unfinished outputs are left out.

    Parameters
    ----------
    folder
        The container.
    is_image
        Whether a folder or a local file is an image in any format.
    limit
        Most images; None: `MAX_IMAGES`.
    """
    limit = MAX_IMAGES if limit is None else limit
    search = _Search(is_image)
    found = [folder.address.join(path) for path in _list_consolidated(folder)]
    addresses = tuple(islice(iter(found) if found else search.walk(folder.address), limit + 1))
    return ImageList(addresses[:limit], search.is_complete and len(addresses) <= limit)


def describe_container(folder: FolderMetadata, is_image: Callable[[Address], bool]) -> str:
    """Return a message that lists the images in a container; empty where it contains none."""
    images = list_images(folder, is_image, limit=MAX_NAMES)
    if not images.addresses:
        return ""
    start = len(str(folder.address).rstrip("/")) + 1
    names = [str(address)[start:] for address in images.addresses]
    listed = ", ".join(names) + ("" if images.is_complete else ", ...")
    example = images.addresses[0]
    return f"{folder.address} is a container; name one of its images: {listed}, as in {example}"


class _Search:
    """A search in folders, breadth first, and whether it reached a limit."""

    def __init__(self, is_image: Callable[[Address], bool]) -> None:
        self.is_image = is_image
        self.is_complete = True
        self.is_stopped = False
        self.end = time.monotonic() + MAX_SECONDS
        self.count = 0

    def walk(self, container: Address) -> Iterator[Address]:
        """Yield the address of each image below a folder."""
        folders = [container]
        for _ in range(MAX_DEPTH):
            below: list[Address] = []
            for folder in folders:
                for entry in self._list(folder):
                    if self._is_image(entry):
                        yield entry
                    elif _may_contain_images(entry):
                        below.append(entry)
                    if self.is_stopped:
                        return
            folders = below

    def _list(self, folder: Address) -> list[Address]:
        if self._stop():
            return []
        names, is_complete = list_entries(folder)
        self.is_complete &= is_complete
        return [folder.join(name) for name in names]

    def _is_image(self, entry: Address) -> bool:
        """Return whether an entry is an image, while no limit is reached."""
        path = entry.local_path
        try:
            if path is None or path.is_dir():
                self.count += 1
                if self._stop():
                    return False
            return not _is_unfinished(path) and self.is_image(entry)
        except (OSError, ValueError):  # damaged, or access is denied
            return False

    def _stop(self) -> bool:
        if self.count > MAX_FOLDERS or time.monotonic() > self.end:
            self.is_complete, self.is_stopped = False, True
        return self.is_stopped


def _may_contain_images(entry: Address) -> bool:
    """Return whether a folder is searched: no link, which may lead back, and no output."""
    path = entry.local_path
    try:
        return path is None or (
            path.is_dir() and not path.is_symlink() and not _is_unfinished(path)
        )
    except OSError:  # access is denied
        return False


def _is_unfinished(path: Path | None) -> bool:
    return path is not None and (path / UNFINISHED).exists()


def _list_consolidated(folder: FolderMetadata) -> list[str]:
    """Return the paths of images in consolidated metadata of Zarr; empty where there are none."""
    if not folder.address.is_remote:  # its folders are searched
        return []
    consolidated = folder.get("zarr.json").get("consolidated_metadata")
    if isinstance(consolidated, dict):
        return _find_images(_entries(consolidated))
    if ".zgroup" in folder.documents:
        return _find_images(_entries(read_optional_document(folder.address.join(CONSOLIDATED))))
    return []


def _is_plain(key: str) -> bool:
    """Return whether a key is the path of something below the container."""
    if len(key) > MAX_PATH_CHARACTERS or _CONTROL.search(key):
        return False
    return not {"..", ""} & set(key.split("/"))


def _entries(consolidated: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the metadata documents of each path."""
    metadata = consolidated.get("metadata")
    documents: dict[str, list[dict[str, Any]]] = {}
    for key, document in metadata.items() if isinstance(metadata, dict) else ():
        if not _is_plain(key):
            continue
        path = PurePosixPath(key)
        name = str(path.parent if path.name in DOCUMENT_NAMES else path)
        if isinstance(document, dict) and name != ".":
            documents.setdefault(name, []).append(document)
    return documents


def _has_shape(document: dict[str, Any]) -> bool:
    return isinstance(document.get("shape"), list)


def _find_images(documents: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the images with several levels, and the arrays of 3 or more axes not in one."""
    groups, arrays = [], []
    for path, found in documents.items():
        attributes = [one.get("attributes", one) for one in found]
        nested = [one.get("ome", one) for one in attributes if isinstance(one, dict)]
        if any("multiscales" in one for one in nested if isinstance(one, dict)):
            groups.append(path)
        elif any(len(one["shape"]) >= len("zyx") for one in found if _has_shape(one)):
            arrays.append(path)
    images = {PurePosixPath(path) for path in groups}
    single = [path for path in arrays if not images & set(PurePosixPath(path).parents)]
    return sorted([*groups, *single])
