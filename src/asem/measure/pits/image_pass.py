"""Measure the pits and vesicles of a volume on the image, in the job of the block of their centres.

Each is measured on the image within `OBJECT_REACH_NM` of the centre of its mask, whatever the
block: no block grid changes a digit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.block_output import BlockOutput
from asem.blocks.block_results import BlockResults
from asem.measure.flags_and_notes import SEPARATOR
from asem.measure.image_patches import patch_roi, read_patch
from asem.measure.mask_parts import save_rows_of_blocks
from asem.measure.pits.measure_object import (
    OBJECT_REACH_NM,
    RING_POINTS,
    MeasuredObject,
    measure_object,
)
from asem.measure.pits.picture import PitPicture
from asem.system.npz import ArraySpec
from asem.volume.roi import Roi
from asem.volume.volume import Volume

FloatArray = npt.NDArray[np.float64]
PATCH_VOXEL_BYTES = 60
SURFACE_POINTS, OUTLINE_POINTS = 96, 121
LINES = ("plane", "height", "width", "neck")
VIEW_LENGTHS = ("height", "width", "neck", "major", "minor")
_NUMBERS: dict[str, tuple[int, ...]] = {
    "centre_nm": (3,),
    "direction": (3,),
    "lengths_nm": (3,),
    "se_nm": (3,),
    "axes_nm": (2,),
    "long_axis": (3,),
    "ring_nm": (RING_POINTS, 3),
    "surface_nm": (SURFACE_POINTS, 3),
    "view_nm": (5,),
}
_WHOLE = ("is_pit", "coated", "plane_axis", "plane_index")
_SPECS = {
    "row": ArraySpec("int64", (None,)),
    **{name: ArraySpec("float64", (None, *shape)) for name, shape in _NUMBERS.items()},
    **{name: ArraySpec("int64", (None,)) for name in _WHOLE},
    "flags": ArraySpec("U", (None,)),
    "notes": ArraySpec("U", (None,)),
}
_PICTURE_SPECS = {
    "row": ArraySpec("int64", (None,)),
    "view": ArraySpec("float32", (None, None, None)),
    "outline": ArraySpec("float64", (None, OUTLINE_POINTS, 2)),
    "lines": ArraySpec("float64", (None, len(LINES), 2, 2)),
}


@dataclass(frozen=True)
class MeasuredObjects:
    """Measurements of objects on the image, nan for those that were not measured.

    Parameters
    ----------
    numbers
        Fields of `MeasuredObject` by name, (n, ...), float64; ``view_nm`` are `VIEW_LENGTHS`.
    whole
        ``is_pit``, ``coated``, ``plane_axis`` and ``plane_index`` (in the voxels of raw), int64.
    flags, notes
        Names, (n,).
    results, blocks
        Where the pictures are stored, and the block of each object, None if it was not measured.
    """

    numbers: dict[str, FloatArray]
    whole: dict[str, npt.NDArray[np.int64]]
    flags: list[list[str]]
    notes: list[list[str]]
    results: BlockResults
    blocks: list[Roi | None]

    def load_pictures(self, rows: Sequence[int]) -> dict[int, PitPicture]:
        """Return the pictures of some of the objects, block by block."""
        pictures: dict[int, PitPicture] = {}
        for block in dict.fromkeys(self.blocks[row] for row in rows):
            if block is None:
                continue
            stored = self.results.load(block, **_PICTURE_SPECS)
            place = {int(row): n for n, row in enumerate(stored["row"])}
            for row in rows:
                if row in place:
                    pictures[row] = _unpack_picture(stored, place[row])
        return pictures


def measure_object_images(
    output: BlockOutput,
    labels: Volume,
    raw: Volume,
    centres_nm: FloatArray,
    chosen: npt.NDArray[np.bool_],
    *,
    stage: str,
) -> MeasuredObjects:
    """Measure objects on the image.

    Parameters
    ----------
    output
        Runs the blocks, on the voxels of `labels`.
    labels, raw
        The label image, which determines the blocks, and the image.
    centres_nm
        Of the masks of all objects, (n, 3).
    chosen
        Objects to measure, (n,).
    stage
        Name in the journal, the progress and the results.
    """
    rows = np.flatnonzero(chosen)
    voxels = np.rint((centres_nm[rows] - labels.offset_nm) / labels.voxel_size).astype(np.int64)
    voxels = np.clip(voxels, 0, np.array(labels.shape) - 1)
    jobs = output.block_results(f"{stage} centres")
    blocks = save_rows_of_blocks(jobs, output, rows, voxels, centre_nm=centres_nm)
    patch = patch_roi(raw, (0.0, 0.0, 0.0), OBJECT_REACH_NM).size
    results = output.store_block_results(
        partial(_measure_block, raw=raw, jobs=jobs),
        blocks,
        stage=stage,
        block_bytes=PATCH_VOXEL_BYTES * patch,
    )
    return _collect(results, blocks, centres_nm, raw)


def _measure_block(block: Roi, *, raw: Volume, jobs: BlockResults) -> dict[str, npt.NDArray[Any]]:
    """Measure the objects whose centres are in a block."""
    specs = {"row": _SPECS["row"], "centre_nm": ArraySpec("float64", (None, 3))}
    found = jobs.load(block, **specs)
    packed = []
    for centre in found["centre_nm"]:
        z, y, x = centre.tolist()
        roi = patch_roi(raw, (z, y, x), OBJECT_REACH_NM)
        origin = raw.position_nm(roi.offset)
        one = measure_object(read_patch(raw, roi), origin, raw.voxel_size, (z, y, x))
        packed.append(_pack(one, roi))
    return {"row": found["row"], **{n: np.stack([p[n] for p in packed]) for n in packed[0]}}


def _pack(one: MeasuredObject, roi: Roi) -> dict[str, npt.NDArray[Any]]:
    """Return a measurement as arrays of fixed shapes; the plane is counted from the image."""
    view, picture = one.view, one.picture
    values: dict[str, Any] = {
        name: getattr(one, name) for name in _NUMBERS if name not in ("surface_nm", "view_nm")
    }
    values["surface_nm"] = _choose(one.surface_nm, SURFACE_POINTS)
    values["view_nm"] = [getattr(view, f"{name}_nm") for name in VIEW_LENGTHS]
    values |= {"is_pit": int(one.is_pit), "coated": int(one.coated)}
    values |= {"plane_axis": view.axis, "plane_index": view.index + roi.offset[view.axis]}
    values |= {"flags": SEPARATOR.join(one.flags), "notes": SEPARATOR.join(one.notes)}
    values |= {"view": picture.view, "outline": _choose(picture.outline_nm, OUTLINE_POINTS)}
    missing = np.full((2, 2), np.nan)
    values["lines"] = [picture.lines_nm.get(name, missing) for name in LINES]
    return {name: np.asarray(value) for name, value in values.items()}


def _choose(points: FloatArray, count: int) -> FloatArray:
    """Return some points in equal steps, (count, k); nan if there are none."""
    if len(points) == 0:
        return np.full((count, points.shape[1]), np.nan)
    return np.asarray(points[np.rint(np.linspace(0, len(points) - 1, count)).astype(int)])


def _unpack_picture(stored: dict[str, npt.NDArray[Any]], place: int) -> PitPicture:
    outline = stored["outline"][place]
    lines = dict(zip(LINES, stored["lines"][place], strict=True))
    return PitPicture(
        stored["view"][place],
        outline[np.isfinite(outline).all(axis=1)],
        {name: line for name, line in lines.items() if np.isfinite(line).all()},
    )


def _collect(
    results: BlockResults, blocks: Sequence[Roi], centres_nm: FloatArray, raw: Volume
) -> MeasuredObjects:
    """Load the measurements of all blocks, without the pictures."""
    count = len(centres_nm)
    numbers = {name: np.full((count, *shape), np.nan) for name, shape in _NUMBERS.items()}
    numbers["centre_nm"] = centres_nm.copy()
    whole = {name: np.zeros(count, np.int64) for name in _WHOLE}
    planes = np.rint((centres_nm[:, 0] - raw.offset_nm[0]) / raw.voxel_size[0])
    whole["plane_index"][:] = planes  # of axis 0, as of other objects that were not measured
    found = MeasuredObjects(
        numbers,
        whole,
        flags=[[] for _ in range(count)],
        notes=[[] for _ in range(count)],
        results=results,
        blocks=[None] * count,
    )
    for block in blocks:
        stored = results.load(block, **_SPECS)
        rows = stored["row"]
        if len({len(array) for array in stored.values()}) > 1 or rows.max(initial=0) >= count:
            raise results.make_damage_error(block)
        for target in (numbers, whole):
            for name, values in target.items():
                values[rows] = stored[name]
        for n, row in enumerate(rows.tolist()):
            found.blocks[row] = block
            for names, name in ((found.flags, "flags"), (found.notes, "notes")):
                names[row] = [word for word in str(stored[name][n]).split(SEPARATOR) if word]
    return found
