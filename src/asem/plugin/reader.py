"""napari reader: all images of a `.zarr` folder as lazy layers, positioned in nm."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.image.labels import unlabelled_id
from asem.plugin.layer_transform import layer_transform
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
    """Return `read_cell` for a folder with images, else None: napari tries other readers."""
    if not isinstance(path, str):
        return None
    return read_cell if find_images(Path(path)) else None


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
    """Return a layer for each image: images at the bottom, labels above.

    Raises
    ------
    ValueError
        An image cannot be read.
    """
    cell = Path(path)
    images = [ngff.read_image_metadata(image) for image in find_images(cell)]
    volumes = [ngff.open_image(metadata) for metadata in images]
    pairs = list(zip(images, volumes, strict=True))
    first = next((metadata.path for metadata, volume in pairs if volume.kind == "image"), None)
    raw = next((metadata.path for metadata in images if metadata.path.name == "raw"), first)
    layers = [make_layer(metadata, volume, cell) for metadata, volume in pairs]
    for (metadata, volume), (_, settings, _) in zip(pairs, layers, strict=True):
        settings["visible"] = volume.kind == "labels" or metadata.path == raw
    return sorted(layers, key=lambda layer: layer[2])  # "image" before "labels"


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
