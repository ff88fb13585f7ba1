"""Tables and figures of `asem evaluate --out`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from asem.blocks.results_folder import ResultsFolder
from asem.measure.object_scores import IOU_THRESHOLDS, find_best_partners
from asem.workflows.evaluation_inputs import ScoredPair
from asem.workflows.evaluation_scores import Evaluation
from asem.workflows.evaluation_summary import NAMES, TITLES, describe_scores, make_score_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLES = ("scores", "zone_curve", "precision_recall", "objects", "boundary_distances")
FIGURES = ("zone_curve", "precision_recall", "objects", "boundary_distances")
SCORES_FILE = "scores.json"
FILES = (
    SCORES_FILE,
    *(f"{name}.{suffix}" for name in TABLES for suffix in ("csv", "parquet")),
    *(f"{name}.png" for name in FIGURES),
)
"""Names of the files that `asem evaluate` writes."""


def write_results(
    output: ResultsFolder, evaluations: Sequence[Evaluation], pairs: Sequence[ScoredPair]
) -> None:
    """Write the tables, the figures and ``scores.json`` of all predictions."""
    named = {evaluation.name or "prediction": evaluation for evaluation in evaluations}
    table = make_score_table({name: one.result for name, one in named.items()})
    output.write_table("scores", table, describe_scores())
    for name, frame, texts in _further_tables(named, pairs):
        if len(frame):
            output.write_table(name, frame, texts)
    from asem.report.figures import encode_png

    for name, figure in _figures(named, pairs):
        output.write_file(f"{name}.png", encode_png(figure))
    results = {evaluation.name: evaluation.result for evaluation in evaluations}
    document = results.get("", {"predictions": results})
    text = json.dumps(document, indent=1, allow_nan=False)
    output.write_file(SCORES_FILE, text.encode())


def _further_tables(
    named: Mapping[str, Evaluation], pairs: Sequence[ScoredPair]
) -> Iterator[tuple[str, pd.DataFrame, dict[str, str]]]:
    """Yield the tables of curves, objects and distances, and descriptions of their columns."""
    texts = {"prediction": "name of the prediction"}
    scores = {key: f"{name} of voxels" for key, name in NAMES.items()}
    rows = [{"prediction": n, **row} for n, one in named.items() for row in one.curve]
    columns = texts | {
        "out_nm": "width of the exclusion zone outside of the borders",
        "in_nm": "width of the exclusion zone inside of the borders",
        **scores,
        "voxels": "number of voxels outside of the zone",
    }
    frame = pd.DataFrame(rows, columns=list(columns))
    yield "zone_curve", frame.astype(dict.fromkeys(NAMES, "float64")), columns
    columns = texts | {
        "region": "exclusion_zone: voxels outside of it; all: all voxels",
        "threshold": "probability from which on voxels are foreground",
        **{key: scores[key] for key in ("precision", "recall", "f1")},
    }
    parts = [
        pd.DataFrame({"prediction": n, "region": region, **curve})
        for n, one in named.items()
        for region, curve in one.precision_recall.items()
    ]
    yield "precision_recall", _concatenate(parts, columns), columns
    columns = texts | _OBJECT_COLUMNS
    parts = [
        table
        for (n, one), pair in zip(named.items(), pairs, strict=True)
        for table in _object_tables(n, one, pair)
    ]
    yield "objects", _concatenate(parts, columns), columns
    columns = texts | {
        "direction": "from the boundary of the one to that of the other",
        "distance_nm": "distance; empty: beyond the largest",
        "voxels": "number of boundary voxels at this distance",
    }
    parts = [part for n, one in named.items() for part in _distance_tables(n, one)]
    yield "boundary_distances", _concatenate(parts, columns), columns


def _concatenate(parts: Sequence[pd.DataFrame], columns: Mapping[str, str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True)[list(columns)] if parts else pd.DataFrame()


_OBJECT_COLUMNS = {
    "side": "truth or predicted",
    "object_id": "id in the labels, or number in the order of the first voxels",
    "volume_um3": "number of voxels times the volume of a voxel",
    "voxels": "number of voxels",
    "scored_voxels": "number of voxels that are labelled and in the mask",
    "counts": "whether the object counts in the scores",
    "best_iou": "largest IoU with an object of the other side; 0: no overlap",
    "best_partner": "id of that object; empty: none",
    "z_first_nm": "world position of the first voxel, z",
    "y_first_nm": "world position of the first voxel, y",
    "x_first_nm": "world position of the first voxel, x",
    "line_voxels": "scored voxels of the centre line; empty: not measured",
    "line_covered": "those that the other side covers; empty: not measured",
}


def _object_tables(name: str, one: Evaluation, pair: ScoredPair) -> Iterator[pd.DataFrame]:
    """Yield the objects of the truth and of the prediction."""
    if one.overlap is None or one.objects is None:
        return
    sides = {
        "truth": (one.overlap.truth, one.overlap.predicted, one.objects.truth_counts),
        "predicted": (one.overlap.predicted, one.overlap.truth, one.objects.predicted_counts),
    }
    voxel_size, offset = pair.predicted.voxel_size, pair.predicted.offset_nm
    for side, (own, other, counts) in sides.items():
        iou, partner = find_best_partners(one.objects, side)
        first = np.unravel_index(own.first_voxels, one.shape)
        positions = [
            start + index * size
            for start, index, size in zip(offset, first, voxel_size, strict=True)
        ]
        lines = None if one.lines is None else one.lines[side == "truth"]
        partner_ids = pd.array(np.append(other.ids, np.uint64(0))[partner], dtype="UInt64")
        partner_ids[partner < 0] = pd.NA
        no_line = pd.array([pd.NA] * len(own), dtype="Int64")
        yield pd.DataFrame(
            {
                "prediction": name,
                "side": side,
                "object_id": own.ids,
                "volume_um3": own.voxels * float(np.prod(voxel_size)) / 1e9,
                "voxels": own.voxels,
                "scored_voxels": own.scored_voxels,
                "counts": counts,
                "best_iou": iou,
                "best_partner": partner_ids,
                "z_first_nm": positions[0],
                "y_first_nm": positions[1],
                "x_first_nm": positions[2],
                "line_voxels": no_line if lines is None else pd.array(lines.length, "Int64"),
                "line_covered": no_line if lines is None else pd.array(lines.covered, "Int64"),
            }
        )


def _distance_tables(name: str, one: Evaluation) -> Iterator[pd.DataFrame]:
    if one.distances is None:
        return
    *histograms, bins = one.distances
    distance = np.append(np.arange(bins.count - 1) * bins.width_nm, np.nan)
    directions = ("prediction to truth", "truth to prediction")
    for direction, voxels in zip(directions, histograms, strict=True):
        present = voxels > 0
        yield pd.DataFrame(
            {
                "prediction": name,
                "direction": direction,
                "distance_nm": distance[present],
                "voxels": voxels[present],
            }
        )


def _figures(
    named: Mapping[str, Evaluation], pairs: Sequence[ScoredPair]
) -> Iterator[tuple[str, "Figure"]]:
    """Yield the figures of what was computed."""
    from asem.report import score_figures

    first = next(iter(named.values()))
    if first.curve:
        zone = first.result["zone"]
        widths = zone and (zone["out_nm"], zone["in_nm"])
        curves = {name: one.curve for name, one in named.items()}
        yield "zone_curve", score_figures.plot_zone_curves(curves, widths)
    thresholds = {n: one.precision_recall for n, one in named.items() if one.precision_recall}
    if thresholds:
        yield "precision_recall", score_figures.plot_precision_recall(thresholds, TITLES)
    points, distances = {}, {}
    for (name, one), pair in zip(named.items(), pairs, strict=True):
        if one.overlap is not None and one.objects is not None:
            counts = one.objects.truth_counts
            volume = one.overlap.truth.voxels * float(np.prod(pair.predicted.voxel_size)) / 1e9
            iou, _ = find_best_partners(one.objects, "truth")
            points[name] = score_figures.ObjectPoints(
                iou[counts], np.asarray(volume[counts], np.float64)
            )
        if one.distances is not None:
            *histograms, bins = one.distances
            nm = np.asarray(np.arange(bins.count) * bins.width_nm, np.float64)
            distances[name] = score_figures.DistancePoints(nm, histograms[0], histograms[1])
    if points:
        yield "objects", score_figures.plot_objects(points, IOU_THRESHOLDS)
    if distances and first.distances is not None:
        max_nm = first.distances[2].max_nm
        yield "boundary_distances", score_figures.plot_distances(distances, max_nm)
