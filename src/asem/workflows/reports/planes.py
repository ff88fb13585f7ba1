"""Three orthogonal planes of a structure: grey values, outlines, probability and objects."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.image.labels import is_foreground
from asem.report.page.numbers import format_float, format_fraction
from asem.report.page.parts import Part, Section, Text
from asem.report.page.pictures import Outline, Picture, Pictures
from asem.report.page.plane_picture import cover_with_objects, cover_with_probability, draw_plane
from asem.volume.roi import Roi, per_axis
from asem.volume.volume import Volume
from asem.workflows.reports.layers import (
    AXES,
    OpenLayers,
    foreground_of,
    plane_axes,
    read_grey,
    read_masks,
)
from asem.workflows.reports.sampling import SampledBox, read_coarse, sample

MAX_PIXELS = 512
"""Edge of the largest picture: of a larger volume a coarser level is shown, or a part."""
PLANES = ((0, (1, 2)), (2, (1, 0)), (1, (0, 2)))
"""Axis on which each plane is perpendicular, and the axes that are drawn down and to the right."""
LEGEND = {
    "labels": "labels",
    "prediction": "prediction",
    "scored": "part that was scored",
    "cross": "where the planes cross",
    "scale": "probability, 0 (dark) to 1 (bright)",
    "objects": "objects, in colours that repeat",
}


@dataclass(frozen=True)
class Place:
    """Where three planes cross, and which part was scored, nm.

    Parameters
    ----------
    position_nm
        World position.
    scored_nm
        Both corners of the part that was scored; None: all.
    """

    position_nm: NmZYX
    scored_nm: tuple[NmZYX, NmZYX] | None = None


def describe_planes(opened: OpenLayers, place: Place) -> Section:
    """Return the section with three planes of a structure."""
    pictures: dict[str, list[Picture]] = {"outlines": [], "probability": [], "objects": []}
    for axis, shown in PLANES:
        plane = Plane(axis, shown, _plane_of(opened.frame, axis, place.position_nm))
        for name, picture in _draw_plane(opened, place, plane).items():
            pictures[name].append(picture)
    if not pictures["outlines"]:
        return Section(opened.layers.structure, [Text(_too_large(opened), is_note=True)])
    parts: list[Part] = [Text(_describe_frame(opened, place))]
    drawn = {outline.name for picture in pictures["outlines"] for outline in picture.outlines}
    legends: dict[str, list[str]] = {
        "outlines": [name for name in ("labels", "prediction", "scored", "cross") if name in drawn],
        "probability": ["scale"],
        "objects": ["objects"],
    }
    for name, keys in legends.items():
        if planes := pictures[name]:
            legend = [(key, LEGEND[key]) for key in keys]
            parts.append(Pictures(planes, legend, are_orthogonal=len(planes) == len(PLANES)))
    return Section(opened.layers.structure, parts)


def choose_place(opened: OpenLayers, scored_nm: tuple[NmZYX, NmZYX] | None) -> Place:
    """Return where the planes have most foreground along each axis, in the part that was scored.

    Foreground in the middle counts twice as much as at the ends. The finest level that is small is
    read, of the labels if there are any; without one, the middle is taken.
    """
    for levels in (opened.labels, opened.prediction):
        coarse = read_coarse(levels) if levels else None
        if coarse is None:
            continue
        volume, values = coarse
        mask = foreground_of(values, volume)
        if scored_nm is not None:
            mask &= _inside(volume, scored_nm)
        if mask.any():
            sums = [mask.sum(tuple({0, 1, 2} - {axis})) for axis in range(3)]
            weighted = (one * (1 + np.hanning(len(one) + 2)[1:-1]) for one in sums)
            z, y, x = (int(one.argmax()) for one in weighted)
            return Place(volume.position_nm((z, y, x)), scored_nm)
    volume = opened.frame[0]
    return Place(volume.position_nm(per_axis(lambda n: n // 2, volume.shape)), scored_nm)


def _inside(volume: Volume, corners_nm: tuple[NmZYX, NmZYX]) -> npt.NDArray[np.bool_]:
    """Return the voxels whose centres are between two corners."""
    box = SampledBox.of_roi(volume, volume.roi)
    along = []
    for axis in range(3):
        nm = box.positions_nm(axis)
        along.append((nm >= corners_nm[0][axis]) & (nm < corners_nm[1][axis]))
    z, y, x = along
    return np.asarray(z[:, None, None] & y[:, None] & x)


def _plane_of(levels: Sequence[Volume], axis: int, position_nm: NmZYX) -> SampledBox:
    """Return a plane through a position: the finest level that fits, else a part of the last."""
    across = [other for other in range(3) if other != axis]
    fitting = [
        level for level in levels if max(level.shape[other] for other in across) <= MAX_PIXELS
    ]
    volume = fitting[0] if fitting else levels[-1]
    voxel = per_axis(
        lambda nm, start, size, n: min(max(0, round((nm - start) / size)), n - 1),
        position_nm, volume.offset_nm, volume.voxel_size, volume.shape,
    )  # fmt: skip
    start, shape = list(voxel), [1, 1, 1]
    for other in across:
        edge = volume.shape[other]
        shape[other] = min(edge, MAX_PIXELS)
        start[other] = min(max(0, voxel[other] - MAX_PIXELS // 2), edge - shape[other])
    box = SampledBox.of_roi(volume, Roi.from_bounds(start, np.add(start, shape).tolist()))
    at_nm = list(box.start_nm)
    at_nm[axis] = position_nm[axis]
    return replace(box, start_nm=(at_nm[0], at_nm[1], at_nm[2]))


@dataclass(frozen=True)
class Plane:
    """A plane of pixels.

    Parameters
    ----------
    axis
        Axis on which it is perpendicular.
    shown
        Axes that are drawn down and to the right.
    box
        Its positions, one along `axis`.
    """

    axis: int
    shown: tuple[int, int]
    box: SampledBox

    def flatten(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the values of the box as rows and columns."""
        return np.ascontiguousarray(values.transpose(*self.shown, self.axis)[..., 0])

    def pixel_of(self, position_nm: NmZYX) -> tuple[float, float]:
        """Return a world position in pixels, row and column, 0 at the borders."""
        start, step = self.box.start_nm, self.box.step_nm
        row, column = ((position_nm[a] - start[a]) / step[a] + 0.5 for a in self.shown)
        return row, column

    @property
    def caption(self) -> str:
        """Axis and position of the plane."""
        return f"{AXES[self.axis]} = {self.box.start_nm[self.axis] / 1000:.2f} µm"


def _draw_plane(opened: OpenLayers, place: Place, plane: Plane) -> dict[str, Picture]:
    """Return the pictures of one plane: outlines, and the probability and the objects, if any."""
    read = read_grey(opened, plane.box)
    if read is None:
        return {}
    grey = plane.flatten(read)
    down, right = plane_axes(plane.box, plane.shown)
    size = f"{right.end_um - right.start_um:.2f} µm along {right.name} and "
    size += f"{down.end_um - down.start_um:.2f} µm along {down.name}"
    masks = {name: plane.flatten(mask) for name, mask in read_masks(opened, plane.box).items()}
    shares = (f"{name} {format_fraction(float(m.mean()))}" for name, m in masks.items())
    covered = ", ".join(shares) or "nothing"
    name = opened.layers.raw.name if opened.layers.raw else opened.layers.structure
    draw = partial(draw_plane, down=down, right=right)
    pictures = {
        "outlines": draw(
            grey,
            caption=plane.caption,
            alternative=f"Plane {plane.caption} of {name}, {size}. Covered: {covered}.",
            masks=masks,
            lines=_draw_lines(place, plane),
        )
    }
    probability = sample(opened.probability, plane.box) if opened.probability else None
    if probability is not None and probability.dtype == np.uint8:
        mean = format_float(float(probability.mean()) / 255, 2)
        pictures["probability"] = draw(
            cover_with_probability(grey, plane.flatten(probability)),
            caption=plane.caption,
            alternative=f"Probability in the plane {plane.caption}, {size}; mean {mean}.",
        )
    ids = sample(opened.instances, plane.box) if opened.instances else None
    if ids is not None:
        ids = plane.flatten(np.where(is_foreground(ids), ids, 0))
        count = len(np.unique(ids[ids != 0]))
        pictures["objects"] = draw(
            cover_with_objects(grey, ids),
            caption=plane.caption,
            alternative=f"Objects in the plane {plane.caption}, {size}: {count}.",
        )
    return pictures


def _draw_lines(place: Place, plane: Plane) -> list[Outline]:
    """Return where the other planes cross this one, and the part that was scored."""
    rows, columns = (plane.box.shape[axis] for axis in plane.shown)
    row, column = plane.pixel_of(place.position_nm)
    lines = [Outline("cross", f"M{column:.1f} 0V{rows}M0 {row:.1f}H{columns}")]
    if place.scored_nm is None:
        return lines
    (top, left), (bottom, right) = map(plane.pixel_of, place.scored_nm)
    top, bottom = (min(max(one, 1), rows - 1) for one in (top, bottom))
    left, right = (min(max(one, 1), columns - 1) for one in (left, right))
    path = f"M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}Z"
    return [*lines, Outline("scored", path)]


def _describe_frame(opened: OpenLayers, place: Place) -> str:
    shown = ", ".join(f"{nm:.0f}" for nm in place.position_nm)
    image = opened.layers.raw or opened.layers.prediction or opened.layers.labels
    of = f" of {image.name}" if image else ""
    return (
        f"Three planes{of} that cross at {shown} nm (z, y, x), where there is most foreground "
        "along each axis. Axes are world positions."
    )


def _too_large(opened: OpenLayers) -> str:
    return (
        f"{opened.frame[0].name} has no coarser level that is small enough to be drawn; asem "
        "import writes a pyramid."
    )
