"""Pyramids of the images of one structure, and what is drawn of them in a box."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.image.labels import is_foreground
from asem.report.page.pictures import Axis
from asem.volume.contrast import contrast_window_of, scale_to_unit
from asem.volume.volume import Volume
from asem.workflows.probability_check import FOREGROUND_UINT8
from asem.workflows.reports.images import Layers
from asem.workflows.reports.sampling import SampledBox, sample

AXES = "zyx"
FOREGROUND = 0.5
"""Smallest probability of the foreground."""


@dataclass(frozen=True)
class OpenLayers:
    """The pyramids of a structure; empty where there is no such image.

    Parameters
    ----------
    layers
        The images.
    raw, labels, prediction, probability, instances
        Levels of each, the finest first.
    """

    layers: Layers
    raw: Sequence[Volume] = ()
    labels: Sequence[Volume] = ()
    prediction: Sequence[Volume] = ()
    probability: Sequence[Volume] = ()
    instances: Sequence[Volume] = ()

    @classmethod
    def open(cls, layers: Layers) -> "OpenLayers":
        """Open the images of a structure, without reading voxels."""
        names = ("raw", "labels", "prediction", "probability", "instances")
        found = {name: getattr(layers, name) for name in names}
        return cls(layers, **{n: image.open_levels() for n, image in found.items() if image})

    @property
    def frame(self) -> Sequence[Volume]:
        """The pyramid whose planes are shown."""
        return self.raw or self.prediction or self.labels


def foreground_of(values: npt.NDArray[Any], volume: Volume) -> npt.NDArray[np.bool_]:
    """Return the foreground of labels, or of a probability from 0.5 on.

    Raises
    ------
    ValueError
        The probability is neither uint8, 0 to 255, nor float, 0 to 1.
    """
    if volume.kind == "labels":
        return is_foreground(values)
    if values.dtype == np.uint8:
        return np.asarray(values >= FOREGROUND_UINT8)
    if values.dtype.kind != "f":
        raise ValueError(
            f"{volume.name} is {values.dtype}; a probability is uint8, 0 to 255, or float, 0 to 1"
        )
    return np.asarray(values >= FOREGROUND)


def read_grey(opened: OpenLayers, box: SampledBox) -> npt.NDArray[np.uint8] | None:
    """Read grey values as 0 to 255; black without an image, None where too much is to be read."""
    if not opened.raw:
        return np.zeros(box.shape, np.uint8)
    values = sample(opened.raw, box)
    if values is None:
        return None
    unit = scale_to_unit(values, _window_of(opened.raw[0], values))
    return np.rint(np.nan_to_num(unit) * 255).astype(np.uint8)


def _window_of(volume: Volume, values: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the contrast window; where there is none, the range of the finite values."""
    try:
        return contrast_window_of(volume)
    except ValueError:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
        return low, high if high > low else low + 1


def read_masks(opened: OpenLayers, box: SampledBox) -> Mapping[str, npt.NDArray[np.bool_]]:
    """Read the foreground of labels and prediction at the positions of a box."""
    masks = {}
    for name, levels in (("labels", opened.labels), ("prediction", opened.prediction)):
        values = sample(levels, box) if levels else None
        if values is not None:
            masks[name] = foreground_of(values, levels[0])
    return masks


def plane_axes(box: SampledBox, shown: tuple[int, int]) -> tuple[Axis, Axis]:
    """Return the axes of a plane, down and to the right, of their numbers."""
    down, right = (Axis(AXES[axis], *box.edges_um(axis)) for axis in shown)
    return down, right
