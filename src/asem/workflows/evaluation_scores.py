"""Scores of one prediction, from the counts of its blocks: the result of `asem evaluate`."""

import logging
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.results_folder import NoResultsError
from asem.image.labels import warn_zero_zone_width
from asem.image.map_overlap import check_halo_memory
from asem.measure.block_bootstrap import (
    bootstrap_interval,
    draw_cubes,
    f1_of,
    iou_of,
)
from asem.measure.boundary_distance import DistanceBins, summarize_distances
from asem.measure.centre_line_coverage import score_lines
from asem.measure.object_overlap import ObjectOverlap, ObjectTable
from asem.measure.object_scores import (
    IOU_THRESHOLDS,
    ScoredObjects,
    count_by_cube,
    score_objects,
)
from asem.measure.precision_recall import average_precision, precision_recall_curve
from asem.measure.score_counts import CubeGrid, confusion_counts, to_confusion
from asem.measure.zone_curve import ZoneSeries, plan_curve, score_curve
from asem.system.resources import free_memory_bytes
from asem.volume.roi import IntZYX
from asem.workflows.evaluation_inputs import EvaluationOptions, ScoredPair
from asem.workflows.evaluation_lines import LineCounts, measure_lines
from asem.workflows.evaluation_stages import (
    BlockRunner,
    count_voxels,
    find_objects,
    measure_boundaries,
)
from asem.workflows.probability_check import FOREGROUND_UINT8

LOG = logging.getLogger(__name__)
REGIONS = ("exclusion_zone", "all")
"""Keys of the scores outside of the zone, and of all voxels."""


@dataclass(frozen=True)
class EvaluationPlan:
    """What is computed for one prediction; made before anything is read.

    Parameters
    ----------
    zone_nm
        Widths of the exclusion zone, nm; None: none.
    zones, zone
        Zones that are counted, and the index of the exclusion zone (-1: none).
    cubes
        Cubes of the bootstrap; one cube where there are no intervals.
    bins
        Bins of the distances of boundaries.
    line_nm
        Distance within which centre lines are covered; None: not scored.
    """

    zone_nm: tuple[float, float] | None
    zones: ZoneSeries
    zone: int
    cubes: CubeGrid
    bins: DistanceBins
    line_nm: float | None


def plan_evaluation(pair: ScoredPair, options: EvaluationOptions) -> EvaluationPlan:
    """Check the options against a prediction, and return what is computed.

    Raises
    ------
    ValueError
        A width, distance or edge is out of range, or a block with its halo exceeds the memory.
    """
    zone_nm, voxel_size = options.zone_widths(), pair.predicted.voxel_size
    if zone_nm is not None:
        name = options.structure_name or "evaluate"
        warn_zero_zone_width(name, *zone_nm, voxel_size)
    widths: tuple[tuple[float, float], ...] = () if zone_nm is None else (zone_nm,)
    if options.curves:
        widths = plan_curve(zone_nm, voxel_size, options.max_width_nm)
    zones = ZoneSeries.of_widths(widths, voxel_size, options.zone_shape)
    check_halo_memory(pair.labels, zones.halo, "the exclusion zone", free_memory_bytes())
    bins = DistanceBins(voxel_size, options.max_distance_nm)
    if options.boundary:
        check_halo_memory(pair.labels, bins.halo, "boundary distances", free_memory_bytes())
    cubes = CubeGrid(pair.roi, pair.roi.shape)
    if options.has_intervals:
        cubes = CubeGrid.of_edge_nm(pair.roi, voxel_size, options.cube_nm)
    return EvaluationPlan(
        zone_nm,
        zones,
        -1 if zone_nm is None else widths.index(zone_nm),
        cubes,
        bins,
        options.line_distance() if options.objects else None,
    )


@dataclass(frozen=True)
class Evaluation:
    """Everything that was computed for one prediction.

    Parameters
    ----------
    name
        Of the prediction.
    result
        The scores, as JSON values.
    curve
        Rows of scores over the width of the zone; empty where not computed.
    precision_recall
        For `REGIONS`, columns over the threshold; empty for labels.
    overlap, objects, lines
        Objects of both sides, those that count, and their centre lines; None where not computed.
    distances
        Histograms of distances to the truth and to the prediction, and their bins.
    shape
        Of the prediction, voxels.
    """

    name: str
    result: dict[str, Any]
    curve: list[dict[str, Any]]
    precision_recall: dict[str, dict[str, npt.NDArray[np.float64]]]
    overlap: ObjectOverlap | None
    objects: ScoredObjects | None
    lines: tuple[LineCounts, LineCounts] | None
    distances: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], DistanceBins] | None
    shape: IntZYX


def evaluate_pair(
    runner: BlockRunner, plan: EvaluationPlan, options: EvaluationOptions
) -> Evaluation:
    """Compute all requested scores of a prediction.

    Raises
    ------
    NoResultsError
        Objects are requested, and the labels have none.
    """
    pair = runner.pair
    counts = count_voxels(runner, plan.zones, plan.zone, plan.cubes)
    regions = {"exclusion_zone": counts.by_cube[:, 0], "all": counts.by_cube.sum(axis=1)}
    if plan.zone_nm is None:
        del regions["exclusion_zone"]
    result = _voxel_scores(regions, plan, options, is_probability=pair.is_probability)
    if options.ids is not None and not regions["all"][:, 1].any():
        LOG.warning("%s has no scored voxel with the ids %s", pair.labels.name, options.ids)
    curve = score_curve(counts.curve, plan.zones.widths_nm) if options.curves else []
    curves = {}
    if options.curves and pair.is_probability:
        curves = {
            name: precision_recall_curve(values.sum(axis=0)) for name, values in regions.items()
        }
        result["best_threshold"] = {name: _best_threshold(c) for name, c in curves.items()}
    if options.curves:
        result["zone_curve"] = curve
    overlap, objects, lines = None, None, None
    if options.objects:
        overlap = find_objects(runner)
        objects = ScoredObjects.from_overlap(overlap)
        if not objects.truth_counts.any():
            raise NoResultsError(
                f"{pair.labels.name} has no scored objects in {pair.roi}; objects cannot be scored"
            )
        result["objects"] = score_objects(objects)
        if plan.line_nm is not None:
            lines = measure_lines(runner, overlap, objects, plan.line_nm)
            result["centre_lines"] = _line_scores(lines, plan.line_nm, pair)
    distances = None
    if options.boundary:
        distances = (*measure_boundaries(runner, plan.bins), plan.bins)
        result["boundary"] = summarize_distances(*distances)
    if options.has_intervals:
        result["intervals"] = _make_intervals(regions, overlap, objects, plan, options, pair)
    return Evaluation(
        pair.name, result, curve, curves, overlap, objects, lines, distances, pair.predicted.shape
    )


def _voxel_scores(
    regions: dict[str, npt.NDArray[np.int64]],
    plan: EvaluationPlan,
    options: EvaluationOptions,
    *,
    is_probability: bool,
) -> dict[str, Any]:
    """Return the scores of `REGIONS` and the zone; with the average precision of a probability."""
    totals = {name: values.sum(axis=0) for name, values in regions.items()}
    scores = {
        name: to_confusion(total, FOREGROUND_UINT8).scores() for name, total in totals.items()
    }
    zone = plan.zone_nm and {
        "out_nm": plan.zone_nm[0],
        "in_nm": plan.zone_nm[1],
        "shape": options.zone_shape,
    }
    result = {**{name: scores.get(name) for name in REGIONS}, "zone": zone}
    if is_probability:
        precisions = {name: float(average_precision(total)) for name, total in totals.items()}
        result["average_precision"] = {name: _none_if_nan(precisions.get(name)) for name in REGIONS}
    return result


def _none_if_nan(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value


def _best_threshold(curve: dict[str, npt.NDArray[np.float64]]) -> dict[str, float] | None:
    """Return threshold, precision, recall and F1 where F1 is largest; None where never defined."""
    if np.isnan(curve["f1"]).all():
        return None
    best = int(np.nanargmax(curve["f1"]))
    return {name: float(values[best]) for name, values in curve.items()}


def _line_scores(
    lines: tuple[LineCounts, LineCounts], distance_nm: float, pair: ScoredPair
) -> dict[str, Any]:
    too_large = lines[0].too_large + lines[1].too_large
    if too_large:
        LOG.warning(
            "%s: %d objects are too large to be scored along their centre lines, which is meant "
            "for small, thin structures",
            pair.predicted.name,
            too_large,
        )
    pairs = [(line.covered, line.length) for line in lines]
    return score_lines(pairs[0], pairs[1], distance_nm) | {"too_large": too_large}


def _make_intervals(
    regions: dict[str, npt.NDArray[np.int64]],
    overlap: ObjectOverlap | None,
    objects: ScoredObjects | None,
    plan: EvaluationPlan,
    options: EvaluationOptions,
    pair: ScoredPair,
) -> dict[str, Any]:
    """Return 95 % intervals of scores of voxels and objects, from a bootstrap over cubes."""
    counts = _object_counts(overlap, objects, plan.cubes, pair)
    present = regions["all"].any(axis=(1, 2))
    for by_cube in counts.values():
        present = present | by_cube.any(axis=1)
    number = int(np.count_nonzero(present))
    weights = draw_cubes(number, np.random.default_rng(options.seed))
    edges = zip(plan.cubes.edge, pair.predicted.voxel_size, strict=True)
    intervals: dict[str, Any] = {
        "level": 0.95,
        "cubes": number,
        "edge_nm": [edge * size for edge, size in edges],
    }
    for name, values in regions.items():
        confusion = confusion_counts(values[present], FOREGROUND_UINT8)
        intervals[name] = {
            "f1": bootstrap_interval(confusion, weights, f1_of),
            "iou": bootstrap_interval(confusion, weights, iou_of),
        }
        if pair.is_probability:
            interval = bootstrap_interval(values[present], weights, average_precision)
            intervals[name]["average_precision"] = interval
    if counts:
        intervals["objects"] = {
            f"f1_{name}": bootstrap_interval(by_cube[present], weights, f1_of)
            for name, by_cube in counts.items()
        }
    return intervals


def _object_counts(
    overlap: ObjectOverlap | None,
    objects: ScoredObjects | None,
    cubes: CubeGrid,
    pair: ScoredPair,
) -> dict[str, npt.NDArray[np.int64]]:
    """Return true and false positives and negatives of each cube, at each threshold of the IoU."""
    if overlap is None or objects is None:
        return {}

    def cubes_of(table: ObjectTable) -> npt.NDArray[np.int64]:
        voxels = np.unravel_index(table.first_voxels, pair.predicted.shape)
        return cubes.find(np.stack(voxels, axis=1))

    numbers = cubes_of(overlap.predicted), cubes_of(overlap.truth)
    return {
        f"iou_{round(100 * threshold)}": count_by_cube(
            objects.match(threshold), *numbers, prod(cubes.shape)
        )
        for threshold in IOU_THRESHOLDS
    }
