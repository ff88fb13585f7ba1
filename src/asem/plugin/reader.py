"""napari reader: the images of a `.zarr` folder as lazy layers, tables as points, placed in nm."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.image.labels import unlabelled_id
from asem.plugin.layer_transform import layer_transform
from asem.plugin.table_layers import (
    ObjectTable,
    find_features,
    find_tables,
    has_positions,
    make_points,
    read_object_table,
)
from asem.tables import TABLE_SUFFIXES
from asem.view.collect import find_best_labels, find_kind
from asem.volume import ngff
from asem.volume.contrast import contrast_window_of
from asem.volume.volume import Volume
from asem.volume.zarr_arrays import ZarrArray

LayerData = tuple[Any, dict[str, Any], str]
"""Data, settings and type of a napari layer."""
MAX_DEPTH = 3
"""Levels of folders: 1 (raw), 2 (labels/mito) or 3 (predictions/run/probability)."""


@dataclass(frozen=True)
class DisplayedArray:
    """An array on disk from which napari reads planes and boxes.

    Parameters
    ----------
    array
        The array.
    hidden_value
        A value that is shown as 0: unlabelled voxels would cover the image.
    """

    array: ZarrArray
    hidden_value: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return prod(self.shape)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read integers and slices."""
        voxels = self.array[index]
        return (
            voxels
            if self.hidden_value is None
            else np.where(voxels == self.hidden_value, 0, voxels)
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all of it."""
        return np.array(self[...], dtype)


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return the reader of a folder with images, or of a table; None: other readers try."""
    if not isinstance(path, str):
        return None
    if Path(path).suffix.lower() in TABLE_SUFFIXES:
        return read_table if is_object_table(Path(path)) else None
    return read_cell if find_images(Path(path)) else None


def is_object_table(path: Path) -> bool:
    """Return whether a file is a table with a position for each row."""
    try:
        return has_positions(path)
    except (OSError, ValueError):
        return False


def read_table(path: str) -> list[LayerData]:
    """Return a points layer of a table.

    Raises
    ------
    ValueError
        The file is damaged, or no table with positions.
    """
    table = Path(path)
    return [make_points(read_object_table(table), table.stem)]


def find_images(path: Path) -> list[Path]:
    """Return the finished images in a folder; an image returns itself."""
    if ngff.is_image(path):
        return [path]
    patterns = ("*/" * depth + "zarr.json" for depth in range(1, MAX_DEPTH + 1))
    folders = {
        entry.parent
        for pattern in patterns
        for entry in path.glob(pattern)
        if not any(part.startswith(".") for part in entry.relative_to(path).parts)
    }
    return sorted(image for image in folders if ngff.is_image(image))


def read_cell(path: str) -> list[LayerData]:
    """Return a layer for each image and table: images at the bottom, then labels, then points.

    Raw and the best labels of each structure are visible.

    Labels have the columns of the table of their objects as features. A table that cannot be read
    is left out with a warning.

    Raises
    ------
    ValueError
        An image cannot be read.
    """
    cell = Path(path)
    images = [ngff.read_image_metadata(image) for image in find_images(cell)]
    volumes = [ngff.open_image(metadata) for metadata in images]
    tables = list(_read_tables(cell))
    pairs = list(zip(images, volumes, strict=True))
    first = next((metadata.path for metadata, volume in pairs if volume.kind == "image"), None)
    raw = next((metadata.path for metadata in images if metadata.path.name == "raw"), first)
    best = _find_best_labels(pairs, cell)
    layers = []
    for metadata, volume in pairs:
        voxels, settings, layer_type = make_layer(metadata, volume, cell)
        settings["visible"] = metadata.path in best or metadata.path == raw
        if volume.kind == "labels":
            features = find_features(volume.identity, tables)
            settings |= {} if features is None else {"features": features}
        layers.append((voxels, settings, layer_type))
    layers.sort(key=lambda layer: layer[2])  # "image" before "labels"
    shown = {volume.identity for volume in volumes}
    return layers + [make_table_layer(table, cell) for table in tables if table.labels not in shown]


def _find_best_labels(pairs: Sequence[tuple[ngff.ImageMetadata, Volume]], cell: Path) -> set[Path]:
    """Return the labels to display: one image of each structure, as `asem view` does."""
    labels = [(metadata, volume) for metadata, volume in pairs if volume.kind == "labels"]
    names = [metadata.path.relative_to(cell).as_posix() for metadata, _ in labels]
    kinds = {
        name: find_kind(volume, name, metadata.asem_metadata.made_by or {})
        for name, (metadata, volume) in zip(names, labels, strict=True)
        if name != "mask"
    }
    return {cell / name for name in find_best_labels(kinds)}


def _read_tables(cell: Path) -> Iterator[ObjectTable]:
    for path in find_tables(cell):
        try:
            yield read_object_table(path)
        except (OSError, ValueError) as error:
            warnings.warn(str(error), stacklevel=2)


def make_table_layer(table: ObjectTable, cell: Path) -> LayerData:
    """Return a points layer, named by the path of its table in the cell."""
    return make_points(table, table.path.relative_to(cell).with_suffix("").as_posix())


def make_layer(metadata: ngff.ImageMetadata, volume: Volume, cell: Path) -> LayerData:
    """Return a layer of an image with its pyramid; reads only metadata."""
    hidden = unlabelled_id(volume.dtype) if volume.kind == "labels" else None
    levels = [DisplayedArray(array, hidden) for array in ngff.open_levels(metadata)]
    image = metadata.path
    name = image.name if image == cell else image.relative_to(cell).as_posix()
    settings = {
        "name": name,
        "multiscale": True,
        "metadata": {"asem": str(image)},
        **layer_transform(volume),
    }
    if volume.kind == "labels":
        return levels, settings | {"opacity": 0.5}, "labels"
    if volume.dtype == np.uint8 or volume.window is not None:
        settings["contrast_limits"] = contrast_window_of(volume)
    return levels, settings, "image"
