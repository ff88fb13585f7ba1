"""Worst and best places of a prediction: the blocks with most false voxels and the highest F1.

Blocks of 1 µm are counted at a level of the pyramid that is small; those with most errors are then
read at full resolution, where voxels in the exclusion zone do not count::

    coarse level      counts of each block     the first few     full resolution, with the zone
    . . # # . .   ->  12  0  3            ->   12  3         ->  false voxels, picture, position
"""

import shlex

import numpy as np
from scipy import ndimage

from asem.config import NmZYX
from asem.report.page.numbers import format_score
from asem.report.page.parts import Command, Facts, Part, Section, Text
from asem.report.page.pictures import Outline, Pictures
from asem.report.page.plane_picture import cover_with_objects, draw_plane
from asem.volume.roi import Roi, per_axis
from asem.volume.volume import Volume
from asem.workflows.reports.layers import OpenLayers, plane_axes, read_grey
from asem.workflows.reports.place_counts import (
    EDGE_NM,
    ScoredBlock,
    count_blocks,
    read_pair,
    score_block,
    split_into_places,
)
from asem.workflows.reports.sampling import SampledBox
from asem.workflows.reports.scored import Zone

CANDIDATES, WORST, BEST = 8, 3, 2
"""Blocks that are read at full resolution, and those that are shown."""
MIN_BLOCK_SHARE = 0.25
"""Blocks with fewer scored voxels, relative to a whole one, are no best places."""
MARGIN_NM = 300.0
"""Around a block in its picture."""
FALSE_COLOURS = ((0, 0, 0), (255, 60, 60), (70, 140, 255))
"""Of no error, false positive and false negative voxels; the legend in ``report.css`` as well."""
LEGEND = [
    ("labels", "labels"),
    ("prediction", "prediction"),
    ("false-positive", "false positive"),
    ("false-negative", "false negative"),
    ("cross", "position"),
]


def describe_places(opened: OpenLayers, scored: Roi, zone: Zone) -> list[Section]:
    """Return a section for each of the worst and the best blocks.

    Parameters
    ----------
    opened
        Prediction and labels.
    scored
        The part that is scored, in the voxels of the prediction.
    zone
        The exclusion zone.
    """
    finest, structure = opened.prediction[0], opened.layers.structure
    counted = count_blocks(opened, scored)
    if counted is None:
        text = f"{finest.name} has no level that is small enough to search; asem import writes one."
        return [Section(structure, [Text(text, is_note=True)])]
    false, positive = counted
    order = np.argsort(-false, kind="stable")[:CANDIDATES]
    blocks = list(split_into_places(scored, finest.voxel_size))
    exact = [score_block(opened, blocks[n], zone) for n in order if false[n]]
    worst = sorted((b for b in exact if b.false), key=lambda block: -block.false)[:WORST]
    share = np.divide(
        2 * positive, 2 * positive + false, where=positive > 0, out=np.zeros(len(false))
    )
    best_order = np.lexsort((-positive, -share))[:CANDIDATES]
    taken = {block.roi for block in worst}
    whole = max(block.size for block in blocks)
    candidates = [
        blocks[n]
        for n in best_order
        if positive[n] and blocks[n] not in taken and blocks[n].size >= MIN_BLOCK_SHARE * whole
    ]
    good = [score_block(opened, block, zone) for block in candidates[:BEST]]
    good.sort(key=lambda block: -(block.f1 or 0))
    return [
        *(
            _describe_block(opened, b, f"{structure}, worst place {n}")
            for n, b in enumerate(worst, 1)
        ),
        *(
            _describe_block(opened, b, f"{structure}, best place {n}")
            for n, b in enumerate(good, 1)
        ),
    ]


def _describe_block(opened: OpenLayers, block: ScoredBlock, title: str) -> Section:
    finest = opened.prediction[0]
    position_nm = _find_position(block, finest)
    counts = block.counts
    where = ", ".join(f"{nm:.0f}" for nm in position_nm)
    low, high = finest.position_nm(block.roi.offset), finest.position_nm(block.roi.end)
    extent = ", ".join(f"{a:.0f} to {b:.0f}" for a, b in zip(low, high, strict=True))
    rows = [
        ("position (z, y, x)", f"{where} nm"),
        ("block (z, y, x)", f"{extent} nm"),
        ("false positive", f"{counts.false_positives:,} voxels"),
        ("false negative", f"{counts.false_negatives:,} voxels"),
        ("F1 of the block", format_score(block.f1)),
    ]
    texts = (
        f"{counts.false_positives:,} false positive and {counts.false_negatives:,} false negative"
    )
    pictures = _draw_block(
        opened, block, position_nm, f"{title}: {texts} voxels in a block at {where} nm."
    )
    images = (opened.layers.raw, opened.layers.labels, opened.layers.prediction)
    paths = " ".join(shlex.quote(str(image.address)) for image in images if image)
    at = ",".join(f"{nm:.0f}" for nm in position_nm)
    command = f"asem view {paths} --position {at}"
    parts: list[Part] = [pictures, Facts(rows), Command("Open this place:", command)]
    return Section(title, parts, has_text_beside=True)


def _find_position(block: ScoredBlock, volume: Volume) -> NmZYX:
    """Return the middle of the largest error in the plane with most of them."""
    z, y, x = (n // 2 for n in block.roi.shape)
    false = block.errors != 0
    if false.any():
        z = int(false.sum(axis=(1, 2)).argmax())
        regions, _ = ndimage.label(false[z])
        largest = np.argwhere(regions == np.bincount(regions[regions > 0]).argmax())
        offset = largest - largest.mean(axis=0)
        y, x = map(int, largest[np.square(offset).sum(axis=1).argmin()])
    voxel = per_axis(lambda o, i: o + i, block.roi.offset, (z, y, x))
    return volume.position_nm(voxel)


def _surround(block: Roi, volume: Volume) -> Roi:
    """Return a box of the size of a whole block with a margin around it, within the volume."""
    edge = per_axis(lambda size: round((EDGE_NM + 2 * MARGIN_NM) / size), volume.voxel_size)
    shape = per_axis(min, edge, volume.shape)
    start = per_axis(
        lambda low, n, own, whole: min(max(0, low + n // 2 - own // 2), whole - own),
        block.offset, block.shape, shape, volume.shape,
    )  # fmt: skip
    return Roi(start, shape)


def _draw_block(
    opened: OpenLayers, block: ScoredBlock, position_nm: NmZYX, alternative: str
) -> Pictures:
    """Draw the plane of a block through a position, and around the block."""
    finest = opened.prediction[0]
    z = round((position_nm[0] - finest.offset_nm[0]) / finest.voxel_size[0])
    grown = _surround(block.roi, finest)
    plane = Roi((z, *grown.offset[1:]), (1, *grown.shape[1:]))
    box = SampledBox.of_roi(finest, plane)
    predicted, labelled, _ = read_pair(opened, box)
    grey = read_grey(opened, box)
    grey = np.zeros(box.shape, np.uint8) if grey is None else grey
    errors = np.zeros(plane.shape[1:], np.uint8)
    inner = tuple(
        slice(o - g, o - g + n)
        for o, g, n in zip(block.roi.offset[1:], grown.offset[1:], block.roi.shape[1:], strict=True)
    )
    errors[inner] = block.errors[z - block.roi.offset[0]]
    down, right = plane_axes(box, (1, 2))
    row, column = (
        (position_nm[axis] - box.start_nm[axis]) / box.step_nm[axis] + 0.5 for axis in (1, 2)
    )
    cross = Outline("cross", f"M{column:.1f} 0V{box.shape[1]}M0 {row:.1f}H{box.shape[2]}")
    picture = draw_plane(
        cover_with_objects(grey[0], errors, FALSE_COLOURS),
        down=down,
        right=right,
        caption=f"Plane z = {box.start_nm[0] / 1000:.2f} µm",
        alternative=alternative,
        masks={"labels": labelled[0], "prediction": predicted[0]},
        lines=[cross],
    )
    return Pictures([picture], LEGEND)
