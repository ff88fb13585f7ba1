"""One table row of scores for each prediction: all scores as columns, with their intervals."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from asem.measure.object_scores import IOU_THRESHOLDS

TITLES = {"exclusion_zone": "outside of the exclusion zone", "all": "all voxels"}
PREFIXES = {"exclusion_zone": "zone_", "all": "all_"}
"""Prefixes of the columns of scores outside of the zone, and of all voxels."""
NAMES = {"precision": "precision", "recall": "recall", "f1": "F1", "iou": "IoU"}
INTERVAL = {"low": "lower end of the 95 % interval", "high": "upper end of the 95 % interval"}
Row = dict[str, Any]


def make_score_table(results: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return the scores of predictions, by name, as a table of a row each.

    Columns of scores that were not computed are empty (`describe_scores`).
    """
    rows = [{"prediction": name, **flatten_scores(result)} for name, result in results.items()]
    frame = pd.DataFrame(rows, columns=list(describe_scores()))
    return frame.astype(_dtypes(frame))


def _dtypes(frame: pd.DataFrame) -> dict[str, str]:
    """Return float64 for all columns of scores, and Int64 for those of numbers."""
    counts = [name for name in frame if str(name).endswith(("voxels", "objects", "cubes", "_n"))]
    counts += [name for name in ("splits", "merges") if name in frame]
    numbers = dict.fromkeys(map(str, frame.columns[1:]), "float64")
    return numbers | dict.fromkeys(map(str, counts), "Int64")


def describe_scores() -> dict[str, str]:
    """Return the columns of the table of scores, and what each one is."""
    columns = {"prediction": "name of the prediction"}
    for region, prefix in PREFIXES.items():
        where = f"of voxels, {TITLES[region]}"
        columns[f"{prefix}voxels"] = f"number {where}"
        for key, name in NAMES.items():
            columns[f"{prefix}{key}"] = f"{name} {where}"
            if key in {"f1", "iou"}:
                columns |= _interval_columns(f"{prefix}{key}")
        columns[f"{prefix}average_precision"] = f"average precision {where}"
        columns |= _interval_columns(f"{prefix}average_precision")
        columns[f"{prefix}best_threshold"] = f"probability of the largest F1 {where}"
        columns[f"{prefix}best_f1"] = f"largest F1 {where}, over all thresholds"
    columns |= {"truth_objects": "objects of the truth", "predicted_objects": "predicted objects"}
    for threshold in IOU_THRESHOLDS:
        name, where = f"object_{round(100 * threshold)}_", f"of objects at an IoU above {threshold}"
        for key in ("precision", "recall", "f1"):
            columns[f"{name}{key}"] = f"{NAMES[key]} {where}"
        columns |= _interval_columns(f"{name}f1")
        columns |= {
            f"{name}pq": f"panoptic quality {where}",
            f"{name}sq": f"mean IoU of the matches {where}",
        }
    columns |= {
        "vi_split_bits": "variation of information, H(prediction | truth), bits",
        "vi_merge_bits": "variation of information, H(truth | prediction), bits",
        "splits": "truth objects that are cut: parts beyond the first",
        "merges": "truth objects that are joined: objects beyond the first",
        "line_precision": "predicted objects whose centre line is covered by the truth",
        "line_recall": "truth objects whose centre line is covered by the prediction",
        "line_f1": "F1 of centre lines",
        "line_distance_nm": "distance within which a voxel of a centre line is covered",
        "boundary_mean_nm": "mean distance of the boundaries, both directions",
        "boundary_median_nm": "median distance of the boundaries, both directions",
        "hausdorff_95_nm": "larger of the 95th percentiles of both directions",
        "beyond_max": "fraction of boundary voxels beyond max_distance_nm, which count as that",
        "max_distance_nm": "largest distance that is measured",
        "cubes": "cubes of the bootstrap with scored voxels or objects",
    }
    return columns


def _interval_columns(name: str) -> dict[str, str]:
    return {f"{name}_{end}": f"{text} of {name}" for end, text in INTERVAL.items()}


def flatten_scores(result: Mapping[str, Any]) -> Row:
    """Return the scores of a prediction as columns."""
    row: Row = {}
    intervals = result.get("intervals", {})
    for region, prefix in PREFIXES.items():
        scores = result[region] or {}
        row |= {f"{prefix}{key}": scores.get(key) for key in ("voxels", *NAMES)}
        row[f"{prefix}average_precision"] = result.get("average_precision", {}).get(region)
        for key, interval in intervals.get(region, {}).items():
            row |= _ends(f"{prefix}{key}", interval)
        best = result.get("best_threshold", {}).get(region) or {}
        row |= {
            f"{prefix}best_threshold": best.get("threshold"),
            f"{prefix}best_f1": best.get("f1"),
        }
    objects = result.get("objects", {})
    row |= {key: objects.get(key) for key in ("truth_objects", "predicted_objects")}
    for threshold in IOU_THRESHOLDS:
        percent = round(100 * threshold)
        scores = objects.get(f"iou_{percent}", {})
        keys = ("precision", "recall", "f1", "pq", "sq")
        row |= {f"object_{percent}_{key}": scores.get(key) for key in keys}
        interval = intervals.get("objects", {}).get(f"f1_iou_{percent}")
        row |= _ends(f"object_{percent}_f1", interval)
    vi, lines = objects.get("vi", {}), result.get("centre_lines", {})
    row |= {f"vi_{key}": vi.get(key) for key in ("split_bits", "merge_bits")}
    row |= {key: objects.get(key) for key in ("splits", "merges")}
    row |= {f"line_{key}": lines.get(key) for key in ("precision", "recall", "f1", "distance_nm")}
    boundary = result.get("boundary", {})
    row |= {f"boundary_{key}": boundary.get(key) for key in ("mean_nm", "median_nm")}
    row |= {key: boundary.get(key) for key in ("hausdorff_95_nm", "beyond_max")}
    return row | {"max_distance_nm": boundary.get("max_nm"), "cubes": intervals.get("cubes")}


def _ends(name: str, interval: tuple[float, float] | None) -> Row:
    return dict(zip((f"{name}_low", f"{name}_high"), interval or (None, None), strict=True))
