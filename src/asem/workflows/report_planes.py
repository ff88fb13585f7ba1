"""Three orthogonal planes of a structure: grey values, outlines, probability and objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.image.labels import is_foreground
from asem.report.page.numbers import format_float, format_fraction
from asem.report.page.parts import Axis, Part, Picture, Pictures, Section, Text
from asem.report.page.plane_picture import cover_with_objects, cover_with_probability, draw_plane
from asem.volume.contrast import contrast_window_of, scale_to_unit
from asem.volume.roi import Roi, per_axis
from asem.volume.volume import Volume
from asem.workflows.probability_check import FOREGROUND_UINT8
from asem.workflows.report_images import Layers
from asem.workflows.report_sampling import SampledBox, choose_level, read_coarse, sample

MAX_PIXELS = 640
"""Edge of the largest picture: of a larger volume a coarser level is shown, or a part."""
AXES = "zyx"
LEGEND = {
    "labels": "labels",
    "prediction": "prediction",
    "scored": "part that was scored",
    "scale": "probability, 0 (dark) to 1 (bright)",
    "objects": "objects, in colours that repeat",
}


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
    for axis in range(3):
        box = _plane_of(opened.frame, axis, place.position_nm)
        for name, picture in _draw_planes(opened, place, box, axis).items():
            pictures[name].append(picture)
    if not pictures["outlines"]:
        return Section(opened.layers.structure, [Text(_too_large(opened), is_note=True)])
    parts: list[Part] = [Text(_describe_frame(opened, place))]
    drawn = {outline.name for picture in pictures["outlines"] for outline in picture.outlines}
    legends = {
        "outlines": [name for name in ("labels", "prediction", "scored") if name in drawn],
        "probability": ["scale"],
        "objects": ["objects"],
    }
    for name, shown in pictures.items():
        if shown:
            parts.append(Pictures(shown, [(key, LEGEND[key]) for key in legends[name]]))
    return Section(opened.layers.structure, parts)


def choose_place(opened: OpenLayers, scored_nm: tuple[NmZYX, NmZYX] | None) -> Place:
    """Return where the planes have most foreground along each axis, in the part that was scored.

    The finest level that is small is read; without one, the middle is taken.
    """
    for levels in (opened.prediction, opened.labels):
        coarse = read_coarse(levels) if levels else None
        if coarse is None:
            continue
        volume, values = coarse
        mask = foreground_of(values, volume)
        if scored_nm is not None:
            mask &= _inside(volume, scored_nm)
        if mask.any():
            sums = [mask.sum(tuple({0, 1, 2} - {axis})) for axis in range(3)]
            z, y, x = (int(one.argmax()) for one in sums)
            return Place(volume.position_nm((z, y, x)), scored_nm)
    volume = opened.frame[0]
    return Place(volume.position_nm(per_axis(lambda n: n // 2, volume.shape)), scored_nm)


def foreground_of(values: npt.NDArray[np.generic], volume: Volume) -> npt.NDArray[np.bool_]:
    """Return the foreground of labels, or of a probability from 0.5 on."""
    if volume.kind == "labels":
        return is_foreground(values)
    return np.asarray(values >= FOREGROUND_UINT8)


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


def _draw_planes(
    opened: OpenLayers, place: Place, box: SampledBox, axis: int
) -> dict[str, Picture]:
    """Return the pictures of one plane: outlines, and the probability and the objects, if any."""
    grey = read_grey(opened, box)
    if grey is None:
        return {}
    masks = read_masks(opened, box)
    grey = grey.squeeze(axis)
    flat = {name: mask.squeeze(axis) for name, mask in masks.items()}
    down, right = plane_axes(box, axis)
    where = f"Plane {AXES[axis]} = {box.start_nm[axis] / 1000:.2f} µm"
    size = f"{right.end_um - right.start_um:.2f} µm along {right.name} and "
    size += f"{down.end_um - down.start_um:.2f} µm along {down.name}"
    covers = [
        f"the {name} cover {format_fraction(float(m.mean()))} of it" for name, m in flat.items()
    ]
    covered = f" {' and '.join(covers)}.".replace("prediction cover", "prediction covers")
    outlines = dict(flat)
    if place.scored_nm is not None:
        outlines["scored"] = _frame_of_scored(box, axis, place.scored_nm)
    common = {"down": down, "right": right}
    name = opened.layers.raw.name if opened.layers.raw else opened.layers.structure
    pictures = {
        "outlines": draw_plane(
            grey,
            caption=where,
            alternative=f"{where} of {name}, {size}.{covered}",
            masks=outlines,
            **common,
        )
    }
    probability = sample(opened.probability, box) if opened.probability else None
    if probability is not None and probability.dtype == np.uint8:
        mean = format_float(float(probability.mean()) / 255, 2)
        pictures["probability"] = draw_plane(
            cover_with_probability(grey, probability.squeeze(axis)),
            caption=f"{where}, probability",
            alternative=f"{where}, {size}, covered by the probability, on average {mean}.",
            **common,
        )
    ids = sample(opened.instances, box) if opened.instances else None
    if ids is not None:
        ids = np.where(is_foreground(ids), ids, 0).squeeze(axis)
        count = len(np.unique(ids[ids != 0]))
        pictures["objects"] = draw_plane(
            cover_with_objects(grey, ids),
            caption=f"{where}, objects",
            alternative=f"{where}, {size}; objects in it: {count}.",
            **common,
        )
    return pictures


def read_grey(opened: OpenLayers, box: SampledBox) -> npt.NDArray[np.uint8] | None:
    """Read grey values as 0 to 255; black without an image, None where too much is to be read."""
    if not opened.raw:
        return np.zeros(box.shape, np.uint8)
    values = sample(opened.raw, box)
    if values is None:
        return None
    unit = scale_to_unit(values, _window_of(opened.raw[0], values))
    return np.rint(unit * 255).astype(np.uint8)


def _window_of(volume: Volume, values: npt.NDArray[np.generic]) -> tuple[float, float]:
    """Return the contrast window; where there is none, the range of the values."""
    try:
        return contrast_window_of(volume)
    except ValueError:
        low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
        return low, max(high, low + 1)


def read_masks(opened: OpenLayers, box: SampledBox) -> Mapping[str, npt.NDArray[np.bool_]]:
    """Read the foreground of labels and prediction at the positions of a box."""
    masks = {}
    for name, levels in (("labels", opened.labels), ("prediction", opened.prediction)):
        values = sample(levels, box) if levels else None
        if values is not None:
            masks[name] = foreground_of(values, choose_level(levels, box.step_nm))
    return masks


def plane_axes(box: SampledBox, axis: int) -> tuple[Axis, Axis]:
    """Return the axes of a plane, down and to the right."""
    down, right = (other for other in range(3) if other != axis)
    return (
        Axis(AXES[down], *box.edges_um(down)),
        Axis(AXES[right], *box.edges_um(right)),
    )


def _frame_of_scored(
    box: SampledBox, axis: int, scored_nm: tuple[NmZYX, NmZYX]
) -> npt.NDArray[np.bool_]:
    """Return the pixels of a plane that are in the part that was scored."""
    down, right = (
        (box.positions_nm(other) >= scored_nm[0][other])
        & (box.positions_nm(other) < scored_nm[1][other])
        for other in range(3)
        if other != axis
    )
    return np.asarray(down[:, None] & right)


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
