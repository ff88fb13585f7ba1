"""Worst and best places of a prediction: the blocks with most and fewest false voxels.

Blocks of 1 µm are counted at a level of the pyramid that is small; those with most errors are then
read at full resolution, where voxels in the exclusion zone do not count::

    coarse level      counts of each block     the first few     full resolution, with the zone
    . . # # . .   ->  12  0  3            ->   12  3         ->  false voxels, picture, position
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX
from asem.image.labels import exclusion_zone, zone_halo
from asem.image.morphology import zone_radii_in_voxels
from asem.measure.segmentation_scores import ConfusionCounts, count_confusion
from asem.report.page.numbers import format_score
from asem.report.page.parts import Command, Facts, Pictures, Section, Text
from asem.report.page.plane_picture import cover_with_objects, draw_plane
from asem.volume.label_views import unlabelled_id
from asem.volume.roi import IntZYX, Roi, per_axis
from asem.volume.volume import Volume
from asem.workflows.report_planes import (
    OpenLayers,
    foreground_of,
    plane_axes,
    read_grey,
)
from asem.workflows.report_sampling import SampledBox, choose_level, sample
from asem.workflows.report_scored import Zone

EDGE_NM = 1000.0
"""Edge of a block."""
MAX_COUNTED_VOXELS = 2**25
"""Voxels of the level at which all blocks are counted."""
CANDIDATES, WORST, BEST = 8, 3, 2
"""Blocks that are read at full resolution, and those that are shown."""
MIN_BLOCK_SHARE = 0.25
"""Blocks with fewer scored voxels, relative to a whole one, are no best places."""
MARGIN_NM = 300.0
"""Around a block in its picture."""
FALSE_POSITIVE, FALSE_NEGATIVE = 1, 2
LEGEND = [
    ("labels", "labels"),
    ("prediction", "prediction"),
    ("false-positive", "false positive"),
    ("false-negative", "false negative"),
]


@dataclass(frozen=True)
class ScoredBlock:
    """A block at full resolution.

    Parameters
    ----------
    roi
        In the voxels of the prediction.
    counts
        Outside of the exclusion zone.
    errors
        `FALSE_POSITIVE`, `FALSE_NEGATIVE` or 0 of each voxel.
    """

    roi: Roi
    counts: ConfusionCounts
    errors: npt.NDArray[np.uint8]

    @property
    def false(self) -> int:
        """Number of false voxels."""
        return self.counts.false_positives + self.counts.false_negatives

    @property
    def f1(self) -> float | None:
        """F1 of the block."""
        score: float | None = self.counts.scores()["f1"]
        return score


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
    blocks = list(_split(scored, finest.voxel_size))
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
            _describe_block(opened, b, f"{structure}, good place {n}")
            for n, b in enumerate(good, 1)
        ),
    ]


def count_blocks(
    opened: OpenLayers, scored: Roi
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None:
    """Count false and true positive voxels of each block, at a coarse level, block by block.

    Returns
    -------
    tuple or None
        False voxels, and true positives, in the order of `_split`, (n,) each; None where no level
        is small enough.
    """
    finest = opened.prediction[0]
    step = _coarse_step(opened, scored)
    if step is None:
        return None
    false, positive = [], []
    for block in _split(scored, finest.voxel_size):
        box = _coarsen(SampledBox.of_roi(finest, block), step)
        predicted, labelled, known = _read_pair(opened, box)
        false.append(np.count_nonzero((predicted != labelled) & known))
        positive.append(np.count_nonzero(predicted & labelled & known))
    return np.array(false, np.int64), np.array(positive, np.int64)


def _coarse_step(opened: OpenLayers, scored: Roi) -> NmZYX | None:
    """Return the voxel size of the finest level at which the scored part is small."""
    finest = opened.prediction[0]
    for level in opened.prediction:
        ratio = per_axis(lambda a, b: a / b, level.voxel_size, finest.voxel_size)
        has_labels = choose_level(opened.labels, level.voxel_size).voxel_size
        similar = all(a >= b / 2 for a, b in zip(has_labels, level.voxel_size, strict=True))
        if scored.size / np.prod(ratio) <= MAX_COUNTED_VOXELS and similar:
            return level.voxel_size
    return None


def _coarsen(box: SampledBox, step_nm: NmZYX) -> SampledBox:
    """Return a box with larger steps, of about the same extent."""
    shape = per_axis(
        lambda n, own, step: max(1, round(n * own / step)), box.shape, box.step_nm, step_nm
    )
    start = per_axis(
        lambda nm, own, step: nm + (step - own) / 2, box.start_nm, box.step_nm, step_nm
    )
    return SampledBox(start, step_nm, shape)


def _split(scored: Roi, voxel_size: NmZYX) -> Iterator[Roi]:
    """Yield the blocks of the scored part; those at its end may be smaller."""
    edge = per_axis(lambda size: max(1, round(EDGE_NM / size)), voxel_size)
    counts = per_axis(lambda n, e: -(-n // e), scored.shape, edge)
    for index in np.ndindex(*counts):
        start: IntZYX = per_axis(lambda o, i, e: o + i * e, scored.offset, index, edge)
        yield Roi(start, edge).intersect(scored)


def _read_pair(
    opened: OpenLayers, box: SampledBox
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return the foreground of prediction and labels, and which voxels are labelled."""
    predicted = sample(opened.prediction, box)
    labels = sample(opened.labels, box)
    if predicted is None or labels is None:
        raise ValueError(f"{opened.prediction[0].name}: a block is too large to be read")
    known = labels != unlabelled_id(labels.dtype)
    volume = opened.prediction[0]
    return foreground_of(predicted, volume), (labels != 0) & known, np.asarray(known)


def score_block(opened: OpenLayers, roi: Roi, zone: Zone) -> ScoredBlock:
    """Count the voxels of a block at full resolution, outside of the exclusion zone."""
    finest = opened.prediction[0]
    radii = [zone_radii_in_voxels(nm, finest.voxel_size) for nm in (zone.out_nm, zone.in_nm)]
    halo = zone_halo(*radii) if zone.exists else (0, 0, 0)
    grown = roi.grow(halo).intersect(finest.roi)
    predicted, labelled, scored = _read_pair(opened, SampledBox.of_roi(finest, grown))
    if zone.exists:
        codes = np.where(scored, labelled, 255).astype(np.uint8)
        scored &= ~exclusion_zone(codes, *radii)
    inner = tuple(
        slice(o - g, o - g + n) for o, g, n in zip(roi.offset, grown.offset, roi.shape, strict=True)
    )
    predicted, labelled, scored = predicted[inner], labelled[inner], scored[inner]
    errors = np.zeros(roi.shape, np.uint8)
    errors[predicted & ~labelled & scored] = FALSE_POSITIVE
    errors[labelled & ~predicted & scored] = FALSE_NEGATIVE
    return ScoredBlock(roi, count_confusion(predicted, labelled, scored), errors)


def _describe_block(opened: OpenLayers, block: ScoredBlock, title: str) -> Section:
    finest = opened.prediction[0]
    position_nm, z = _find_position(block, finest)
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
    pictures = _draw_block(opened, block, z, f"{title}: {texts} voxels in a block at {where} nm.")
    images = (opened.layers.raw, opened.layers.labels, opened.layers.prediction)
    paths = " ".join(shlex.quote(str(image.address)) for image in images if image)
    at = ",".join(f"{nm:.0f}" for nm in position_nm)
    command = f"asem view {paths} --position {at}"
    return Section(title, [pictures, Facts(rows), Command("Open this place:", command)])


def _find_position(block: ScoredBlock, volume: Volume) -> tuple[NmZYX, int]:
    """Return the middle of the false voxels in the plane with most of them, and that plane."""
    false = np.nonzero(block.errors)
    if not len(false[0]):
        z, y, x = (n // 2 for n in block.roi.shape)
    else:
        z = int(np.bincount(false[0]).argmax())
        in_plane = false[0] == z
        y, x = (int(np.median(along[in_plane])) for along in false[1:])
    voxel = per_axis(lambda o, i: o + i, block.roi.offset, (z, y, x))
    return volume.position_nm(voxel), voxel[0]


def _draw_block(opened: OpenLayers, block: ScoredBlock, z: int, alternative: str) -> Pictures:
    """Draw the plane z of a block and around it."""
    finest = opened.prediction[0]
    margin = per_axis(lambda size: round(MARGIN_NM / size), finest.voxel_size)
    grown = block.roi.grow(margin).intersect(finest.roi)
    plane = Roi((z, *grown.offset[1:]), (1, *grown.shape[1:]))
    box = SampledBox.of_roi(finest, plane)
    predicted, labelled, _ = _read_pair(opened, box)
    grey = read_grey(opened, box)
    grey = np.zeros(box.shape, np.uint8) if grey is None else grey
    errors = np.zeros(plane.shape[1:], np.uint8)
    inner = tuple(
        slice(o - g, o - g + n)
        for o, g, n in zip(block.roi.offset[1:], grown.offset[1:], block.roi.shape[1:], strict=True)
    )
    errors[inner] = block.errors[z - block.roi.offset[0]]
    down, right = plane_axes(box, 0)
    picture = draw_plane(
        cover_with_objects(grey[0], errors, FALSE_COLOURS),
        down=down,
        right=right,
        caption=f"Plane z = {box.start_nm[0] / 1000:.2f} µm",
        alternative=alternative,
        masks={"labels": labelled[0], "prediction": predicted[0]},
    )
    return Pictures([picture], LEGEND)


FALSE_COLOURS = ((0, 0, 0), (255, 60, 60), (70, 140, 255))
"""Of no error, false positive and false negative voxels; the legend in ``report.css`` as well."""
