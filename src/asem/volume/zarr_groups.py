"""Metadata of Zarr 3 groups: those above an image, and their list of label images.

::

    cell.zarr/                 a group
      zarr.json
      labels/                  a group
        zarr.json              lists the label images: "ome": {"labels": ["mito"]}
        mito/                  an image
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from asem.system.json_toml import read_json
from asem.system.locks import exclusive_lock
from asem.system.nofollow_files import check_no_links, replace_file_nofollow

GROUP_LOCK_NAME = ".asem.lock"
"""Lock file in a group while its metadata is updated."""


def write_group(
    path: Path, document: Mapping[str, Any], check: Callable[[], None] | None = None
) -> None:
    """Write the metadata of a Zarr 3 group.

    Parameters
    ----------
    path
        The group.
    document
        Metadata, without the keys that every group has.
    check
        Called just before the metadata is published; if it raises, nothing is published.
    """
    document = {"zarr_format": 3, "node_type": "group", **document}
    with replace_file_nofollow(path / "zarr.json", check) as file:
        file.write(json.dumps(document, indent=1).encode())


def check_groups_above(image: Path) -> None:
    """Check that the metadata of an image's parent groups can be updated.

    Raises
    ------
    ValueError, OSError
        The metadata of a group is damaged or a symbolic link.
    """
    for parent in _groups_above(image):
        check_no_links([parent / "zarr.json"])
        _listed_labels(parent)


def _groups_above(image: Path) -> list[Path]:
    """Return the folders from the image's own up to the outermost `NAME.zarr`."""
    parents = list(image.resolve().parents)
    containers = [i for i, parent in enumerate(parents) if parent.suffix == ".zarr"]
    return parents[: containers[-1] + 1] if containers else []


def write_groups_above(image: Path, *, labels: bool) -> None:
    """Make the folders from `NAME.zarr` to the image Zarr groups, and list label images."""
    image = image.resolve()
    for parent in _groups_above(image):
        lists_labels = labels and parent == image.parent and parent.name == "labels"
        label = image.name if lists_labels else None
        parent.mkdir(parents=True, exist_ok=True)
        if not (parent / "zarr.json").exists() or label not in (None, *_listed_labels(parent)):
            with exclusive_lock(parent / GROUP_LOCK_NAME):
                _update_group(parent, label)


def _update_group(group: Path, label: str | None) -> None:
    """Make a group or add a label image to its list; metadata of other programs is retained."""
    document = _read_group(group)
    attributes = document.get("attributes", {})
    if label is not None:
        names = sorted({*_listed_labels(group), label})
        ome = {"version": "0.5", **attributes.get("ome", {}), "labels": names}
        attributes = {**attributes, "ome": ome}
    if label is not None or not document:
        write_group(group, {**document, "attributes": attributes})


def _listed_labels(group: Path) -> list[str]:
    """Return the label images that a group lists."""
    names = read_group_attributes(group).get("ome", {}).get("labels", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{group / 'zarr.json'} is no Zarr metadata: labels must be names")
    return names


def read_group_attributes(group: Path) -> dict[str, Any]:
    """Return the attributes of a Zarr 3 group; empty where there is no group."""
    attributes: dict[str, Any] = _read_group(group).get("attributes", {})
    return attributes


def _read_group(group: Path) -> dict[str, Any]:
    """Return the metadata of a Zarr 3 group; empty where there is no group."""
    path = group / "zarr.json"
    try:
        document = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    attributes = document.get("attributes", {})
    kind, version = document.get("node_type", "group"), document.get("zarr_format", 3)
    if (kind, version) != ("group", 3):
        raise ValueError(
            f"{path} is not the metadata of a Zarr 3 group: node_type {kind!r:.40}, "
            f"zarr_format {version!r:.40}"
        )
    if not isinstance(attributes, dict) or not isinstance(attributes.get("ome", {}), dict):
        raise ValueError(f"{path} is no Zarr metadata: attributes must be tables")
    return document
