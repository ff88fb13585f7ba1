"""Annotations of pores and pits of a synthetic cell, as loose as a person's.

The paper annotates pores and pits plane by plane, with "single traces loosely overlapping" the
membrane: rows of one voxel. Here, each plane of an object has the outline of its membrane, moved
along y and x, and nearer or farther from the lumen, by one to two voxels, independently of the
planes beside it. One plane in twenty is left out.

Annotated are boxes around objects chosen at random, and boxes without an object; all else is
unlabelled, and so is, with 25 nm around it, what is in these boxes without being annotated: other
pores or pits, vesicles, caveolae.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from asem.phantom.compartments import COATED_PIT, COATED_VESICLE, ENDOSOME, ER, OUTSIDE
from asem.phantom.generate_cell import CellConfig, generate_cell
from asem.phantom.membrane_layers import Layers
from asem.phantom.nuclear_envelope import MASK_MARGIN_NM
from asem.phantom.synthetic_volume import SyntheticVolume
from asem.tables import read_table
from asem.volume.roi import Roi, per_axis
from asem.volume.sources import open_volume

UNLABELLED = 255
HALF_BOX_NM, HALF_EMPTY_NM = 300.0, 200.0
"""From the centre of a box to its sides: around an object, and without one."""
STEP = 4
"""Voxels between the positions on a membrane that are chosen from."""
SHIFT_SD_VOXELS, MAX_SHIFT_VOXELS = 1.2, 2
"""Of a trace along y and x, in each plane."""
LEVEL_SD_NM, MAX_LEVEL_NM = 5.0, 10.0
"""Of the distance of a trace from the middle of the membrane, in each plane."""
OMITTED = 0.05
"""Fraction of planes without a trace."""
AROUND_NM = 25.0
COATED = (COATED_PIT, COATED_VESICLE)
POSITION = ["z_nm", "y_nm", "x_nm"]
Codes = npt.NDArray[np.uint8]
Pair = tuple[int, int]


@dataclass(frozen=True)
class KnownCell:
    """A synthetic cell on disk, and its geometry.

    Parameters
    ----------
    group
        The cell, written by `asem phantom`.
    volume
        The same cell, for its distances to membranes.
    structure
        npc or ccp.
    """

    group: Path
    volume: SyntheticVolume
    structure: str

    @classmethod
    def of_group(cls, group: Path, structure: str, *, seed: int, preparation: str) -> "KnownCell":
        """Generate the geometry of a cell that was written with a seed."""
        raw = open_volume(group / "raw")
        extent = per_axis(lambda n, size: n * size, raw.shape, raw.voxel_size)
        config = CellConfig(preparation=preparation)  # type: ignore[arg-type]
        cell = generate_cell(extent, config, np.random.default_rng(seed))
        volume = SyntheticVolume.of_cell(
            cell, raw.shape, raw.voxel_size, preparation=preparation, seed=seed
        )
        return cls(group, volume, structure)

    def rng(self, purpose: int) -> np.random.Generator:
        """Return the random numbers of one purpose."""
        return np.random.default_rng([self.volume.seed, ord(self.structure[0]), purpose])

    def box(self, centre_nm: npt.NDArray[np.float64], half_nm: float) -> Roi:
        """Return the voxels around a position."""
        first, last = (
            np.rint((centre_nm + side * half_nm) / self.volume.voxel_size).astype(int).tolist()
            for side in (-1, 1)
        )
        return Roi.from_bounds(first, last).intersect(Roi.of_shape(self.volume.shape))


def annotate_few(cell: KnownCell, counts: Pair, empty: Pair) -> tuple[Codes, Codes]:
    """Return annotations of some objects for training, and of others for validation.

    Parameters
    ----------
    cell
        The cell.
    counts, empty
        Annotated objects, and boxes without one, for training and for validation.
    """
    rng = cell.rng(0)
    table = read_candidates(cell)
    chosen = rng.permutation(np.flatnonzero(table["may_be_annotated"]))
    boxes = place_empty_boxes(cell, table[POSITION].to_numpy(), sum(empty), rng)
    first, second = (
        annotate(cell, table.iloc[rows], boxes_of_part, rng)
        for rows, boxes_of_part in zip(split(chosen, counts), split(boxes, empty), strict=True)
    )
    second[first != UNLABELLED] = UNLABELLED
    return first, second


def annotate_all(cell: KnownCell) -> Codes:
    """Return annotations of all complete objects of a cell; the others are unlabelled."""
    table = read_candidates(cell)
    out = np.zeros(cell.volume.shape, np.uint8)
    ids = table["object_id"][table["may_be_scored"]].to_list()
    everywhere = cell.box(table[POSITION].mean().to_numpy(), 1e6)
    leave_out_others(cell, out, everywhere, ids)
    trace_objects(cell, out, table[table["may_be_scored"]], cell.rng(1))
    return out


def annotate(
    cell: KnownCell, objects: pd.DataFrame, empty: npt.NDArray[np.float64], rng: np.random.Generator
) -> Codes:
    """Return annotations of objects, and of boxes without one; all else is unlabelled."""
    out = np.full(cell.volume.shape, UNLABELLED, np.uint8)
    boxes = [cell.box(p, HALF_BOX_NM) for p in objects[POSITION].to_numpy()]
    for box in boxes:
        out[box.slices] = 0
    for box in boxes:
        leave_out_others(cell, out, box, objects["object_id"].to_list())
    trace_objects(cell, out, objects, rng)
    for centre in empty:
        out[cell.box(centre, HALF_EMPTY_NM).slices] = 0
    return out


def trace_objects(
    cell: KnownCell, out: Codes, objects: pd.DataFrame, rng: np.random.Generator
) -> None:
    """Draw the traces of objects where voxels are labelled."""
    for centre, number in zip(objects[POSITION].to_numpy(), objects["object_id"], strict=True):
        box = cell.box(centre, HALF_BOX_NM)
        traces, part = draw_traces(cell, box, number, rng), out[box.slices]
        part[traces & (part != UNLABELLED)] = 1


def read_candidates(cell: KnownCell) -> pd.DataFrame:
    """Return pores, or pits, vesicles and caveolae; which may be annotated, and scored."""
    if cell.structure == "npc":
        table = read_table(cell.group / "truth/pores")
        return table.assign(
            may_be_annotated=table["is_complete"], may_be_scored=table["is_complete"]
        )
    table = read_table(cell.group / "truth/coated")
    is_pit = (table["kind"] == "pit") & table["coated"] & (table["location"] == "endocytic")
    return table.assign(may_be_annotated=is_pit, may_be_scored=table["coated"])


def split(values: npt.NDArray[Any], counts: Pair) -> Iterable[npt.NDArray[Any]]:
    """Return the first and the next of some values."""
    first, second = counts
    if len(values) < first + second:
        raise ValueError(f"{first + second} are needed, there are {len(values)}")
    return values[:first], values[first : first + second]


def place_empty_boxes(
    cell: KnownCell, objects: npt.NDArray[np.float64], number: int, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return centres of boxes that are farther than 100 nm from the centre of any object.

    Every other one is on the membrane of the structure: the envelope, or the plasma membrane.
    """
    extent = np.multiply(cell.volume.shape, cell.volume.voxel_size)
    membrane = find_membrane_positions(cell)
    centres: list[npt.NDArray[np.float64]] = []
    while len(centres) < number:
        centre = rng.uniform(HALF_EMPTY_NM, extent - HALF_EMPTY_NM)
        if len(centres) % 2:
            centre = membrane[rng.integers(len(membrane))]
        if np.abs(objects - centre).max(axis=1).min() > HALF_EMPTY_NM + 100:
            centres.append(centre)
    return np.array(centres)


def find_membrane_positions(cell: KnownCell) -> npt.NDArray[np.float64]:
    """Return positions on the nuclear envelope, or on the plasma membrane, nm."""
    name = "nucleus" if cell.structure == "npc" else "plasma_membrane"
    labels = open_volume(cell.group / "labels" / name)
    voxels = labels.read(labels.roi)[::STEP, ::STEP, ::STEP] > 0
    if cell.structure == "npc":
        voxels &= ~ndimage.binary_erosion(voxels)
    return np.argwhere(voxels) * np.multiply(STEP, cell.volume.voxel_size)


def leave_out_others(cell: KnownCell, out: Codes, box: Roi, ids: list[int]) -> None:
    """Make the objects in a box that are not annotated, and what is near, unlabelled."""
    others = np.zeros(box.shape, np.bool_)
    for name in ("ccp", "caveolae") if cell.structure == "ccp" else ("npc",):
        labels = open_volume(cell.group / "labels" / name).read(box)
        others |= (labels > 0) & ~np.isin(labels, [] if name == "caveolae" else ids)
    if others.any():
        around = round(AROUND_NM / cell.volume.voxel_size[0])
        others = ndimage.binary_dilation(others, iterations=around)
        out[box.slices][others] = UNLABELLED


def draw_traces(
    cell: KnownCell, box: Roi, number: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Return the traces of the membrane of an object in the planes of a box."""
    layers, _ = cell.volume._layers(box)
    lumen, belongs = find_membrane(layers, cell.structure, number)
    traces = np.zeros(box.shape, np.bool_)
    for z in np.flatnonzero(belongs.any(axis=(1, 2))):
        if rng.random() < OMITTED:
            continue
        level = float(np.clip(rng.normal(scale=LEVEL_SD_NM), -MAX_LEVEL_NM, MAX_LEVEL_NM))
        inside = lumen[z] < level
        outline = inside & ~ndimage.binary_erosion(inside, border_value=1) & belongs[z]
        shift = np.rint(rng.normal(scale=SHIFT_SD_VOXELS, size=2))
        shift = np.clip(shift, -MAX_SHIFT_VOXELS, MAX_SHIFT_VOXELS)
        traces[z] = ndimage.shift(outline.astype(np.uint8), shift, order=0) > 0
    return traces


def find_membrane(
    layers: Layers, structure: str, number: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the distance to the membrane, negative in the lumen, and the object's surroundings."""
    far = np.float32(1000)
    if structure == "npc":
        lumen = np.where(layers.kind == ER, layers.distance, far)
        return lumen, (layers.pore == number) & (layers.gap < MASK_MARGIN_NM)
    lumen = np.where(np.isin(layers.kind, (*COATED, OUTSIDE, ENDOSOME)), layers.distance, far)
    return lumen, np.isin(layers.kind, COATED) & (layers.number == number)
