"""What paths name: images, meshes and tables, in the order in which they are drawn.

::

    cell.zarr                     all finished images in it, with the meshes beside instances, and
                                  tables with positions
    cell.zarr/raw, s3://...       an image in any format
    .../meshes                    meshes, and their instances
    mito, mito/objects.csv        tables of a results folder; a table
"""

import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asem.blocks.output_nesting import is_training_run
from asem.tables import read_column_names
from asem.view.layers import LayerKind
from asem.view.meshes import MeshFolder, find_meshes, open_meshes
from asem.view.table_layers import POSITION, find_tables
from asem.volume.address import Address, AddressLike
from asem.volume.formats.container import MAX_DEPTH, MAX_FOLDERS
from asem.volume.formats.detect import find_images, open_source_image
from asem.volume.sources import open_levels
from asem.volume.volume import Volume

LOG = logging.getLogger(__name__)
DRAWING_ORDER: tuple[LayerKind, ...] = (
    "image", "probability", "zone", "labels", "segmentation", "instances",
)  # fmt: skip
"""From the lowest layer to the highest."""
BEST_FIRST: tuple[LayerKind, ...] = ("instances", "segmentation", "labels", "probability")
"""Of one structure in a cell, the first that exists is displayed."""
RAW = "raw"


@dataclass(frozen=True)
class ViewedImage:
    """An image of a view.

    Parameters
    ----------
    name
        Of its layer.
    kind
        How it is displayed.
    levels
        Its pyramid, the finest first; empty: meshes without their instances.
    meshes
        Of its objects.
    visible
        Whether it is displayed at first.
    """

    name: str
    kind: LayerKind
    levels: Sequence[Volume]
    meshes: MeshFolder | None = None
    visible: bool = True


@dataclass(frozen=True)
class Collected:
    """What is viewed.

    Parameters
    ----------
    images
        In the order in which they are drawn.
    tables
        Files, and the names of their layers.
    found
        Those of them that are in a cell and not named: left out where they cannot be displayed.
    """

    images: list[ViewedImage]
    tables: list[tuple[Path, str]]
    found: frozenset[Path] = frozenset()


def collect(addresses: Sequence[AddressLike]) -> Collected:
    """Find what addresses name; opens images, and reads no voxels.

    Raises
    ------
    FileNotFoundError
        Nothing exists at an address.
    OSError
        It cannot be read.
    ValueError
        It is nothing that can be viewed.
    """
    images, tables, in_cells = list[ViewedImage](), list[Path](), list[Path]()
    parsed = [Address.parse(address) for address in addresses]
    prefixes = _find_prefixes(parsed)
    for address, prefix in zip(parsed, prefixes, strict=True):
        path = address.local_path
        named = [] if path is None or address.dataset else find_tables(path)
        tables += named
        if not named:
            opened, found = _collect_folder(address, prefix)
            images += opened
            in_cells += found
    in_cells = [one for one in in_cells if one not in tables]
    tables += in_cells
    images.sort(key=lambda one: (DRAWING_ORDER.index(one.kind), one.name != prefixes[0] + RAW))
    names = make_unique([*(image.name for image in images), *_name_tables(tables)])
    renamed = [replace(image, name=name) for image, name in zip(images, names, strict=False)]
    named_tables = list(zip(tables, names[len(images) :], strict=True))
    return Collected(renamed, named_tables, frozenset(in_cells))


def _find_prefixes(addresses: Sequence[Address]) -> list[str]:
    """Return the start of the names of layers: none for one address, else the name of a folder."""
    if len(addresses) == 1:
        return [""]
    paths = [address.local_path for address in addresses]
    is_folder = [path is not None and path.suffix == ".zarr" for path in paths]
    several = sum(is_folder) > 1
    return [
        f"{address.name.removesuffix('.zarr')}/" if several and folder else ""
        for address, folder in zip(addresses, is_folder, strict=True)
    ]


def _name_tables(files: Sequence[Path]) -> list[str]:
    """Return the names of files, with that of their folder where two have the same."""
    stems = [file.stem for file in files]
    return [
        stem if stems.count(stem) == 1 else f"{file.resolve().parent.name}/{stem}"
        for file, stem in zip(files, stems, strict=True)
    ]


def make_unique(names: Sequence[str]) -> list[str]:
    """Return names of which no two are the same, as the client requires it.

    Examples
    --------
    >>> make_unique(["raw", "mito", "raw"])
    ['raw', 'mito', 'raw (2)']
    """
    counts: dict[str, int] = {}
    unique = []
    for name in names:
        counts[name] = counts.get(name, 0) + 1
        unique.append(name if counts[name] == 1 else f"{name} ({counts[name]})")
    return unique


def _collect_folder(address: Address, prefix: str) -> tuple[list[ViewedImage], list[Path]]:
    """Return the images and the tables in a cell or another folder; an image returns itself."""
    path = address.local_path
    if path is not None and not address.dataset and (meshes := open_meshes(path)):
        return [_view_meshes(meshes)], []
    if path is not None and is_training_run(path):
        raise ValueError(f"{path} is a training run, which has no images; asem report displays it")
    images = find_images(address)
    if not images.addresses:
        return [_open_image(address, prefix + _short_name(address))], []
    opened = list(_open_container(address, list(images.addresses), prefix))
    if not opened:
        raise ValueError(f"{address} has no image that can be read")
    inner = {one.local_path for one in images.addresses if one.local_path is not None}
    tables = [] if path is None else list(_find_tables_below(path, inner))
    return _choose_visible(opened, prefix), tables


def _find_tables_below(folder: Path, images: Collection[Path]) -> Iterator[Path]:
    """Yield the tables with positions in the folders of a cell that are no images."""
    level, count = [folder], 0
    for _ in range(MAX_DEPTH):
        below = [inner for one in level for inner in _list_folders(one)]
        level = [one for one in below if one not in images]
        count += len(level)
        if count > MAX_FOLDERS:
            LOG.warning("%s has more folders than are searched for tables; name them", folder)
            return
        for path in (table for one in level for table in find_tables(one)):
            try:
                if not path.is_symlink() and set(POSITION) <= set(read_column_names(path)):
                    yield path
            except (OSError, ValueError) as error:
                LOG.warning("%s is left out: %s", path, error)


def _list_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, by name; no links, which may lead back."""
    try:
        with os.scandir(folder) as entries:
            names = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
    except OSError:  # access is denied
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _open_container(
    folder: Address, addresses: Sequence[Address], prefix: str
) -> Iterator[ViewedImage]:
    """Yield the images of a folder; those that cannot be read are named in warnings."""
    for address in addresses:
        name = os.path.relpath(address.location, folder.location) if folder.local_path else ""
        if name and not folder.name.endswith(".zarr"):
            name = f"{folder.name}/{name}"  # mito/instances in cell.zarr/predictions/mito
        path = address.local_path
        if path is not None and open_meshes(path):
            continue
        try:
            yield _open_image(address, prefix + (name or _short_name(address)))
        except (OSError, ValueError) as error:
            LOG.warning("%s is left out: %s", address, error)


def _short_name(address: Address) -> str:
    """Return the last two parts of an address, or one of a short path: ``mito/instances``."""
    parts = [part for part in (address.dataset or address.location).split("/") if part]
    inner = parts[-2:] if not parts[-2:-1] or "." not in parts[-2] else parts[-1:]
    return "/".join(inner)


def _open_image(address: Address, name: str) -> ViewedImage:
    levels = open_levels(address)
    made_by = open_source_image(replace(address, level=None)).made_by or {}
    kind = find_kind(levels[0], name, made_by)
    path = address.local_path
    is_labels = kind in ("labels", "segmentation", "instances") and path is not None
    meshes = _meshes_beside(levels[0], path) if is_labels and path is not None else None
    return ViewedImage(name, "instances" if meshes else kind, levels, meshes)


def find_kind(volume: Volume, name: str, made_by: dict[str, Any]) -> LayerKind:
    """Return how an image is displayed, by what made it and by its name.

    Parameters
    ----------
    volume
        The image.
    name
        Its path in the cell.
    made_by
        Its provenance; empty: unknown.
    """
    command, parts = made_by.get("command"), name.split("/")
    if volume.kind == "image":
        return "probability" if command == "predict" or parts[-1] == "probability" else "image"
    if "exclusion" in parts[:-1]:
        return "zone"
    if command == "instances" or parts[-1] == "instances":
        return "instances"
    if command in ("segment", "mask") or parts[-1] in ("segmentation", "mask"):
        return "segmentation"
    return "labels"


def _choose_visible(images: Sequence[ViewedImage], prefix: str) -> list[ViewedImage]:
    """Display one image of grey values of a cell, and the best labels of each structure."""
    greys = [image.name for image in images if image.kind == "image"]
    shown = {prefix + RAW if prefix + RAW in greys else next(iter(greys), "")}
    shown |= find_best_labels(
        {one.name: one.kind for one in images if one.name.removeprefix(prefix) != "mask"}
    )
    return [replace(image, visible=image.name in shown) for image in images]


def find_best_labels(kinds: Mapping[str, LayerKind]) -> set[str]:
    """Return the names of the images to display, one of each structure (`BEST_FIRST`).

    Examples
    --------
    >>> find_best_labels({"labels/mito": "labels", "predictions/mito/instances": "instances"})
    {'predictions/mito/instances'}
    """
    structures: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        if kind in BEST_FIRST:
            structures.setdefault(_structure_of(name), []).append(name)
    return {
        min(names, key=lambda name: BEST_FIRST.index(kinds[name])) for names in structures.values()
    }


def _structure_of(name: str) -> str:
    """Return the structure of ``labels/mito`` and ``predictions/mito/segmentation``: mito."""
    parts = name.split("/")
    is_output = parts[-1] in ("instances", "segmentation", "probability")
    return parts[-2] if is_output and len(parts) > 1 else parts[-1]


def _meshes_beside(volume: Volume, path: Path) -> MeshFolder | None:
    """Return the meshes of an image of labels, in the same folder."""
    for meshes in find_meshes(path.parent):
        record = meshes.info.get("asem")
        record = record if isinstance(record, dict) else {}
        if Path(str(record.get("instances", ""))).name != path.name:
            continue
        if record.get("instances_id") not in (None, volume.identity):
            LOG.warning("%s are meshes of an earlier %s; make them again", meshes.path, path)
        return meshes
    return None


def _view_meshes(meshes: MeshFolder) -> ViewedImage:
    """Return the instances of a mesh folder, where its record states them; or it alone."""
    record = meshes.info.get("asem")
    record = record if isinstance(record, dict) else {}
    stated, relative = (str(record.get(key, "")) for key in ("instances", "instances_relative"))
    path = meshes.path.resolve()
    name = "/".join(path.parts[-2:])
    if stated:
        for address in (*([os.path.normpath(path / relative)] if relative else []), stated):
            try:
                parsed = Address.parse(address)
                if parsed.is_remote:  # a file does not choose what is requested from the network
                    continue
                opened = _open_image(parsed, name)
            except (OSError, ValueError):
                continue
            return replace(opened, kind="instances", meshes=meshes)
        LOG.warning("%s: its instances %s are not found, or at a URL", meshes.path, stated)
    return ViewedImage(name, "instances", (), meshes)
