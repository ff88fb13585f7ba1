"""Print the scores of `asem evaluate` as tables, and read its named predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

from asem.cli.printing import format_result
from asem.config import shorten
from asem.measure.block_bootstrap import MIN_CUBES
from asem.volume.address import Address

REGIONS = {"exclusion_zone": "outside the exclusion zone", "all": "all voxels"}
FIRST_NAME = "prediction"
"""Name of the prediction that is an argument, beside those of ``--prediction``."""
BASIC = ("exclusion_zone", "all", "zone")
"""Keys that are printed as by other commands."""
Table = list[list[str]]


def name_predictions(
    first: Address, labels: Address | None, named: Sequence[str], *, single: str
) -> tuple[dict[str, Address], Address]:
    """Return the predictions by name, and the labels.

    Parameters
    ----------
    first, labels
        The arguments; without `labels`, `first` is the labels.
    named
        ``NAME=PATH`` of further predictions.
    single
        Name of the only prediction where none is named.

    Raises
    ------
    ValueError
        There are no labels, a text has another form, or two predictions have one name.
    """
    if labels is None and not named:
        raise ValueError("name PREDICTION and LABELS, or LABELS and --prediction NAME=PATH")
    predictions = {} if labels is None else {FIRST_NAME if named else single: first}
    for text in named:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise ValueError(f"--prediction {shorten(text, str)}: write NAME=PATH")
        if name in predictions:
            raise ValueError(
                f"two predictions are called {shorten(name, str)}; give each its own name"
            )
        predictions[name] = Address.parse(path)
    return predictions, labels or first


def format_evaluation(result: Mapping[str, Any]) -> list[str]:
    """Return the lines that are printed: tables of scores, with 3 digits and units."""
    if "predictions" in result:
        return _compare(result)
    lines = format_result({key: result[key] for key in BASIC if result[key] or key == "zone"})
    for table in (
        _average_precision(result),
        _intervals(result),
        _objects(result),
        _boundary(result),
        _zone_curve(result),
    ):
        if table:
            lines += ["", *_align(table)]
    return [*lines, "", *format_result({"out": result["out"]})] if "out" in result else lines


def _align(rows: Table) -> list[str]:
    """Align columns: the first to the left, others to the right; a single cell is a title."""
    columns = [row for row in rows if len(row) > 1]
    widths = [max(map(len, column)) for column in zip(*columns, strict=True)] or [0]
    lines = []
    for row in rows:
        first = row[0].ljust(widths[0])
        cells = (f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=False))
        lines.append("  ".join([first, *cells]).rstrip() if len(row) > 1 else row[0])
    return lines


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _nm(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g} nm"


def _interval(ends: Sequence[float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:.3f}-{ends[1]:.3f}"


def _average_precision(result: Mapping[str, Any]) -> Table:
    precision = result.get("average_precision")
    if precision is None:
        return []
    best = result.get("best_threshold", {})
    rows = [["", "average precision", *(["best F1", "at threshold"] if best else [])]]
    for key, title in REGIONS.items():
        if result[key] is None:
            continue
        row, found = [title, _score(precision[key])], best.get(key) or {}
        if best:
            row += [_score(found.get("f1")), _score(found.get("threshold"))]
        rows.append(row)
    return rows


def _intervals(result: Mapping[str, Any]) -> Table:
    intervals = result.get("intervals")
    if intervals is None:
        return []
    edges = " x ".join(f"{edge:.4g}" for edge in intervals["edge_nm"])
    if intervals["cubes"] < MIN_CUBES:
        number = f"{intervals['cubes']}, of {edges} nm: smaller ones, --cube-nm"
        return [[f"no 95 % intervals, which need {MIN_CUBES} cubes (here {number})"]]
    title = f"95 % intervals (bootstrap over {intervals['cubes']} cubes of {edges} nm)"
    regions = {key: name for key, name in REGIONS.items() if key in intervals}
    has_precision = any("average_precision" in intervals[key] for key in regions)
    rows = [[title], ["", "F1", "IoU", *(["average precision"] if has_precision else [])]]
    for key, name in regions.items():
        rows.append([name, *map(_interval, intervals[key].values())])
    blank = [""] * (len(rows[1]) - 2)
    for key, ends in intervals.get("objects", {}).items():
        threshold = int(key.removeprefix("f1_iou_")) / 100
        rows.append([f"objects, IoU above {threshold:g}", _interval(ends), *blank])
    return rows


def _objects(result: Mapping[str, Any]) -> Table:
    objects = result.get("objects")
    if objects is None:
        return []
    keys = {"precision": "precision", "recall": "recall", "f1": "F1", "pq": "PQ", "sq": "SQ"}
    title = (
        f"objects: {objects['truth_objects']:,} in the truth, "
        f"{objects['predicted_objects']:,} predicted"
    )
    rows = [[title], ["", *keys.values(), "found", "missed", "false"]]
    for name in ("iou_50", "iou_75"):
        scores = objects[name]
        counts = [
            scores[f"{key}s"] for key in ("true_positive", "false_negative", "false_positive")
        ]
        row = [f"IoU above {int(name.removeprefix('iou_')) / 100:g}"]
        rows.append([*row, *(_score(scores[key]) for key in keys), *(f"{n:,}" for n in counts)])
    lines = result.get("centre_lines")
    if lines is not None:
        found, total = lines["truth_found"], lines["truth_objects"]
        false = lines["predicted_objects"] - lines["predicted_found"]
        scores_of_lines = [_score(lines[key]) for key in ("precision", "recall", "f1")]
        counts_of_lines = [f"{n:,}" for n in (found, total - found, false)]
        title = f"centre lines, within {lines['distance_nm']:g} nm"
        rows.append([title, *scores_of_lines, "", "", *counts_of_lines])
    vi = objects["vi"]
    split, merge = (_score(vi[key]) for key in ("split_bits", "merge_bits"))
    return [
        *rows,
        [f"variation of information: split {split} bits, merge {merge} bits"],
        [f"splits: {objects['splits']:,}, merges: {objects['merges']:,}"],
    ]


def _boundary(result: Mapping[str, Any]) -> Table:
    boundary = result.get("boundary")
    if boundary is None:
        return []
    header = ["", "mean", "median", "95 %", f"beyond {boundary['max_nm']:g} nm"]
    rows = [["distances of boundaries"], header]
    for key, title in (
        ("prediction_to_truth", "prediction to truth"),
        ("truth_to_prediction", "truth to prediction"),
    ):
        rows.append(_distances(title, boundary[key], "percentile_95_nm"))
    return [*rows, _distances("both; 95 %: Hausdorff", boundary, "hausdorff_95_nm")]


def _distances(title: str, part: Mapping[str, Any], end: str) -> list[str]:
    beyond = "-" if part["beyond_max"] is None else f"{part['beyond_max']:.2%}"
    return [title, _nm(part["mean_nm"]), _nm(part["median_nm"]), _nm(part[end]), beyond]


def _zone_curve(result: Mapping[str, Any]) -> Table:
    curve = result.get("zone_curve")
    if curve is None:
        return []
    rows = [["width of the exclusion zone"], ["outside", "inside", "F1", "IoU", "voxels"]]
    return rows + [
        [_nm(r["out_nm"]), _nm(r["in_nm"]), _score(r["f1"]), _score(r["iou"]), f"{r['voxels']:,}"]
        for r in curve
    ]


def _compare(result: Mapping[str, Any]) -> list[str]:
    """Return tables with a row for each prediction, and the scores that were computed."""
    named = result["predictions"]
    lines: list[str] = []
    for group in (_COMPARED_VOXELS, _COMPARED_OBJECTS):
        columns = [["", *named]]
        for title, keys, to_text in group:
            values = [_find(scores, keys) for scores in named.values()]
            if any(value is not None for value in values):
                columns.append([title, *map(to_text, values)])
        if len(columns) > 1:
            lines += [*_align([list(row) for row in zip(*columns, strict=True)]), ""]
    zone = next(iter(named.values()))["zone"]
    rest = {"zone": zone, **({"out": result["out"]} if "out" in result else {})}
    return [*lines, *format_result(rest)]


def _find(scores: Mapping[str, Any], keys: Sequence[str]) -> Any:
    value: Any = scores
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


_Columns = tuple[tuple[str, tuple[str, ...], Any], ...]
"""Columns of a comparison: title, keys of the score, and how it is written."""
_COMPARED_VOXELS: _Columns = (
    ("F1", ("exclusion_zone", "f1"), _score),
    ("95 %", ("intervals", "exclusion_zone", "f1"), _interval),
    ("IoU", ("exclusion_zone", "iou"), _score),
    ("AP", ("average_precision", "exclusion_zone"), _score),
    ("F1 (all)", ("all", "f1"), _score),
    ("95 % (all)", ("intervals", "all", "f1"), _interval),
    ("IoU (all)", ("all", "iou"), _score),
    ("AP (all)", ("average_precision", "all"), _score),
)
"""Outside of the exclusion zone, and of all voxels."""
_COMPARED_OBJECTS: _Columns = (
    ("F1 (objects)", ("objects", "iou_50", "f1"), _score),
    ("95 %", ("intervals", "objects", "f1_iou_50"), _interval),
    ("PQ", ("objects", "iou_50", "pq"), _score),
    ("VI split", ("objects", "vi", "split_bits"), _score),
    ("VI merge", ("objects", "vi", "merge_bits"), _score),
    ("F1 (lines)", ("centre_lines", "f1"), _score),
    ("distance", ("boundary", "mean_nm"), _nm),
    ("Hausdorff 95 %", ("boundary", "hausdorff_95_nm"), _nm),
)
"""Of objects at an IoU above 0.5, and of boundaries."""
