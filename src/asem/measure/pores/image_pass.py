"""Measure the pores of a volume on the image, in the job of the block that contains their centre.

Each pore is measured on the image within `PORE_REACH_NM` of the centre of its mask, whatever the
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
from asem.measure.pores.diameter import PORE_REACH_NM, PoreMeasurement, measure_pore, to_triple
from asem.measure.pores.half_lines import LINES
from asem.measure.pores.view import VIEW_REACH_NM, VIEW_STEP_NM
from asem.system.npz import ArraySpec
from asem.volume.roi import Roi
from asem.volume.volume import Volume

FloatArray = npt.NDArray[np.float64]
PATCH_VOXEL_BYTES = 40
_SCALARS = ("diameter_nm", "diameter_sd_nm", "diameter_se_nm")
_NUMBERS = ("centre_nm", "normal", *_SCALARS, "lines_used", "radii_nm", "profile")
_SPECS = {
    "row": ArraySpec("int64", (None,)),
    "centre_nm": ArraySpec("float64", (None, 3)),
    "normal": ArraySpec("float64", (None, 3)),
    **{name: ArraySpec("float64", (None,)) for name in _SCALARS},
    "lines_used": ArraySpec("int64", (None,)),
    "radii_nm": ArraySpec("float64", (None, 2 * LINES)),
    "profile": ArraySpec("float64", (None, round(VIEW_REACH_NM / VIEW_STEP_NM) + 1)),
    "flags": ArraySpec("U", (None,)),
    "notes": ArraySpec("U", (None,)),
}


@dataclass(frozen=True)
class MeasuredPores:
    """Measurements of pores on the image, nan for those that were not measured.

    Parameters
    ----------
    centre_nm, normal
        Refined, (n, 3).
    diameter_nm, diameter_sd_nm, diameter_se_nm
        (n,).
    lines_used
        int64, (n,).
    radii_nm
        Distance from the centre to the membrane in 36 directions, (n, 36).
    profile
        Radial mean of the en-face view, step `asem.measure.pores.view.VIEW_STEP_NM`, (n, m).
    flags, notes
        Names, (n,).
    results, blocks
        Where the views are stored, and the block of each pore, None where it was not measured.
    """

    centre_nm: FloatArray
    normal: FloatArray
    diameter_nm: FloatArray
    diameter_sd_nm: FloatArray
    diameter_se_nm: FloatArray
    lines_used: npt.NDArray[np.int64]
    radii_nm: FloatArray
    profile: FloatArray
    flags: list[list[str]]
    notes: list[list[str]]
    results: BlockResults
    blocks: list[Roi | None]

    def load_views(self, rows: Sequence[int]) -> dict[int, npt.NDArray[np.float32]]:
        """Return the en-face views of some of the measured pores."""
        views: dict[int, npt.NDArray[np.float32]] = {}
        for block in dict.fromkeys(self.blocks[row] for row in rows):
            if block is None:
                continue
            specs = {"row": _SPECS["row"], "view": ArraySpec("float32", (None, None, None))}
            stored = self.results.load(block, **specs)
            place = {int(row): n for n, row in enumerate(stored["row"])}
            views |= {row: stored["view"][place[row]] for row in rows if row in place}
        return views


def measure_pore_images(
    output: BlockOutput,
    labels: Volume,
    raw: Volume,
    centres_nm: FloatArray,
    normals: FloatArray,
    chosen: npt.NDArray[np.bool_],
    *,
    stage: str,
) -> MeasuredPores:
    """Measure pores on the image.

    Parameters
    ----------
    output
        Runs the blocks, on the voxels of `labels`.
    labels, raw
        The label image, which determines the blocks, and the image.
    centres_nm, normals
        Of all pores, (n, 3).
    chosen
        Pores to measure, (n,).
    stage
        Name in the journal, the progress and the results.
    """
    rows = np.flatnonzero(chosen)
    voxels = np.rint((centres_nm[rows] - labels.offset_nm) / labels.voxel_size).astype(np.int64)
    voxels = np.clip(voxels, 0, np.array(labels.shape) - 1)
    jobs = output.block_results(f"{stage} poses")
    blocks = save_rows_of_blocks(jobs, output, rows, voxels, centre_nm=centres_nm, normal=normals)
    patch = patch_roi(raw, (0.0, 0.0, 0.0), PORE_REACH_NM).size
    results = output.store_block_results(
        partial(_measure_block, raw=raw, jobs=jobs),
        blocks,
        stage=stage,
        block_bytes=PATCH_VOXEL_BYTES * patch,
    )
    return _collect(results, blocks, centres_nm, normals)


def _measure_block(block: Roi, *, raw: Volume, jobs: BlockResults) -> dict[str, npt.NDArray[Any]]:
    """Measure the pores whose centres are in a block."""
    found = jobs.load(block, **{name: _SPECS[name] for name in ("row", "centre_nm", "normal")})
    measured = []
    for centre, normal in zip(found["centre_nm"], found["normal"], strict=True):
        roi = patch_roi(raw, centre.tolist(), PORE_REACH_NM)
        patch = read_patch(raw, roi)
        origin = raw.position_nm(roi.offset)
        measured.append(
            measure_pore(patch, origin, raw.voxel_size, to_triple(centre), to_triple(normal))
        )
    return {"row": found["row"], **_stack(measured)}


def _stack(measured: Sequence[PoreMeasurement]) -> dict[str, npt.NDArray[Any]]:
    """Return the measurements of at least one pore as arrays."""
    numbers = {
        name: np.array([getattr(one, name) for one in measured], np.float64)
        for name in ("centre_nm", "normal", *_SCALARS, "radii_nm", "profile")
    }
    names = {
        name: np.array([SEPARATOR.join(getattr(one, name)) for one in measured], np.str_)
        for name in ("flags", "notes")
    }
    lines = np.array([one.lines_used for one in measured], np.int64)
    views = np.stack([one.view for one in measured]).astype(np.float32)
    return {**numbers, **names, "lines_used": lines, "view": views}


def _collect(
    results: BlockResults, blocks: Sequence[Roi], centres_nm: FloatArray, normals: FloatArray
) -> MeasuredPores:
    """Load the measurements of all blocks, without the views."""
    count = len(centres_nm)
    found = MeasuredPores(
        centre_nm=centres_nm.copy(),
        normal=normals.copy(),
        diameter_nm=np.full(count, np.nan),
        diameter_sd_nm=np.full(count, np.nan),
        diameter_se_nm=np.full(count, np.nan),
        lines_used=np.zeros(count, np.int64),
        radii_nm=np.full((count, 2 * LINES), np.nan),
        profile=np.full((count, round(VIEW_REACH_NM / VIEW_STEP_NM) + 1), np.nan),
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
        for name in _NUMBERS:
            getattr(found, name)[rows] = stored[name]
        for n, row in enumerate(rows.tolist()):
            found.blocks[row] = block
            for names, name in ((found.flags, "flags"), (found.notes, "notes")):
                names[row] = [word for word in str(stored[name][n]).split(SEPARATOR) if word]
    return found
