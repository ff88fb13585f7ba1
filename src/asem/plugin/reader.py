"""Cells in napari: all images of a `.zarr` folder as layers in their places, in nm, read lazily."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.image.labels import unknown_id
from asem.plugin.place import place
from asem.volume import ngff
from asem.volume.arrays import Stored
from asem.volume.contrast import window_of
from asem.volume.volume import Volume

LayerData = tuple[Any, dict[str, Any], str]
"""Data, settings and kind of a layer, as napari takes them."""
DEEPEST = 3
"""Images lie one level down (raw), two (labels/mito) or three (predictions/run/probability)."""


@dataclass(frozen=True)
class Shown:
    """An array on disk as napari asks for it: a plane, a box, or all.

    Parameters
    ----------
    stored
        The array.
    hidden
        A value that is shown as 0: what nobody knows would cover the image.
    """

    stored: Stored
    hidden: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels."""
        return self.stored.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the voxels."""
        return self.stored.dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return prod(self.shape)

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        """Read whole numbers and slices."""
        voxels = self.stored[index]
        return voxels if self.hidden is None else np.where(voxels == self.hidden, 0, voxels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all of it."""
        return np.array(self[...], dtype)


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """Return `read_cell` for a folder with images; None leaves the path to other readers."""
    if not isinstance(path, str):
        return None
    return read_cell if images_in(Path(path)) else None


def images_in(path: Path) -> list[Path]:
    """Return the finished images in a folder, or itself if it is one."""
    if ngff.is_image(path):
        return [path]
    below = ("*/" * depth + "zarr.json" for depth in range(1, DEEPEST + 1))
    found = {
        entry.parent
        for pattern in below
        for entry in path.glob(pattern)
        if not any(part.startswith(".") for part in entry.relative_to(path).parts)
    }
    return sorted(image for image in found if ngff.is_image(image))


def read_cell(path: str) -> list[LayerData]:
    """Return a layer for each image: grey values at the bottom, labels above.

    Raises
    ------
    ValueError
        An image cannot be read.
    """
    cell = Path(path)
    every = [ngff.read_metadata(image) for image in images_in(cell)]
    opened = [(stated, ngff.open_image(stated)) for stated in every]
    first = next((stated.path for stated, volume in opened if volume.kind == "image"), None)
    raw = next((stated.path for stated in every if stated.path.name == "raw"), first)
    layers = [layer_of(stated, volume, cell) for stated, volume in opened]
    for (stated, volume), (_, settings, _) in zip(opened, layers, strict=True):
        settings["visible"] = volume.kind == "labels" or stated.path == raw
    return sorted(layers, key=lambda layer: layer[2])  # "image" before "labels"


def layer_of(stated: ngff.Metadata, volume: Volume, cell: Path) -> LayerData:
    """Return a layer of an image with its pyramid; nothing but metadata is read."""
    hidden = unknown_id(volume.dtype) if volume.kind == "labels" else None
    levels = [Shown(array, hidden) for array in ngff.open_levels(stated)]
    image = stated.path
    name = image.name if image == cell else image.relative_to(cell).as_posix()
    settings = {"name": name, "multiscale": True, "metadata": {"asem": str(image)}, **place(volume)}
    if volume.kind == "labels":
        return levels, settings | {"opacity": 0.5}, "labels"
    if volume.dtype == np.uint8 or volume.window is not None:
        settings["contrast_limits"] = window_of(volume)
    return levels, settings, "image"
