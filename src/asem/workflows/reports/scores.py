"""Section of an evaluation: scores with intervals, objects, and the figures of the results."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from asem.measure.block_bootstrap import MIN_CUBES
from asem.report.page.numbers import NOTHING, format_float, format_sizes
from asem.report.page.parts import Column, Facts, Part, Section, Table, Text
from asem.system.json_toml import read_json
from asem.workflows.evaluation_results import SCORES_FILE
from asem.workflows.evaluation_summary import TITLES
from asem.workflows.reports.charts import embed_figures
from asem.workflows.reports.inputs import ResultsInput
from asem.workflows.reports.tables import describe_table_file, read_results_table

SCORES = {"f1": "F1", "iou": "IoU", "precision": "precision", "recall": "recall"}
WITH_INTERVAL = ("f1", "iou")
CAPTIONS = {
    "zone_curve.png": "Scores over the width of the exclusion zone",
    "precision_recall.png": "Precision and recall over the threshold",
    "objects.png": "Objects found, by their overlap and volume",
    "boundary_distances.png": "Distances of the boundaries",
}
Scores = Mapping[str, Any]


def read_scores(results: ResultsInput) -> dict[str, Scores]:
    """Return the scores of each prediction of an evaluation.

    Raises
    ------
    OSError, ValueError
        ``scores.json`` is missing or damaged.
    """
    path = results.folder / SCORES_FILE
    document = read_json(path)
    named = document.get("predictions", {"": document})
    for one in named.values() if isinstance(named, dict) and named else [None]:
        try:
            _Scores.model_validate(one)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ValueError(f"{path} has no scores: {where}: {first['msg']}") from error
    return dict(named)


class _Region(BaseModel):
    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None
    voxels: int


class _Zone(BaseModel):
    out_nm: float
    in_nm: float
    shape: str


class _Matches(BaseModel):
    precision: float | None
    recall: float | None
    f1: float | None
    true_positives: int
    false_positives: int
    false_negatives: int


class _Objects(BaseModel):
    truth_objects: int
    predicted_objects: int
    iou_50: _Matches
    iou_75: _Matches
    splits: int
    merges: int


class _Intervals(BaseModel):
    cubes: int
    edge_nm: tuple[float, float, float]
    exclusion_zone: dict[str, tuple[float, float] | None] = {}
    all: dict[str, tuple[float, float] | None] = {}


class _Boundary(BaseModel):
    mean_nm: float | None


class _Scores(BaseModel):
    """What is read of ``scores.json``, which may be damaged or of other programs."""

    all: _Region
    exclusion_zone: _Region | None = None
    zone: _Zone | None = None
    average_precision: dict[str, float | None] | None = None
    intervals: _Intervals | None = None
    objects: _Objects | None = None
    boundary: _Boundary | None = None


def describe_scores_section(
    results: ResultsInput, named: Mapping[str, Scores], structure: str
) -> Section:
    """Return the section of an evaluation; `structure` is in its title."""
    parts: list[Part] = [_make_score_table(named)]
    first = next(iter(named.values()))
    parts.append(Text(_describe_intervals(first), is_note=True))
    parts.append(Facts(_list_settings(results, first)))
    objects = {name: one["objects"] for name, one in named.items() if one.get("objects")}
    if objects:
        parts.append(_make_object_table(objects))
    parts += embed_figures(results.folder, CAPTIONS, alternatives=_alternatives(first))
    if "objects" in results.tables:
        frame = read_results_table(results, "objects")
        parts += describe_table_file(results, "objects", frame, caption="Each object of both sides")
    return Section(f"Scores: {structure or results.name}", parts)


def interval_of(scores: Scores, region: str, key: str) -> tuple[float, float] | None:
    """Return the 95 % interval of a score; None where there is none."""
    found = (scores.get("intervals") or {}).get(region, {}).get(key)
    return None if found is None else (float(found[0]), float(found[1]))


def _make_score_table(named: Mapping[str, Scores]) -> Table:
    columns = [Column("prediction", is_number=False)] if len(named) > 1 else []
    columns += [Column("voxels scored", is_number=False)]
    columns += [Column(title, is_number=False) for title in SCORES.values()]
    columns.append(Column("voxels"))
    rows = []
    for name, scores in named.items():
        for region, title in TITLES.items():
            if scores.get(region):
                cells = [_format_cell(scores, region, key) for key in SCORES]
                row = [title, *cells, f"{scores[region]['voxels']:,}"]
                rows.append([name, *row] if len(named) > 1 else row)
    return Table("Scores of voxels, with 95 % intervals where there are", columns, rows)


def _format_cell(scores: Scores, region: str, key: str) -> str:
    value = scores[region][key]
    if value is None:
        return NOTHING
    interval = interval_of(scores, region, key) if key in WITH_INTERVAL else None
    return f"{value:.3f}" + ("" if interval is None else " [{:.3f}, {:.3f}]".format(*interval))


def _describe_intervals(scores: Scores) -> str:
    intervals = scores.get("intervals")
    if not intervals:
        return "No intervals were computed: asem evaluate --out DIR --objects does."
    edge = format_sizes(intervals["edge_nm"])
    if intervals["cubes"] < MIN_CUBES:
        return (
            f"No intervals: they need {MIN_CUBES} cubes with scored voxels, and there are "
            f"{intervals['cubes']} of {edge} nm. --cube-nm makes smaller ones."
        )
    return (
        f"Intervals of 95 % from a bootstrap over {intervals['cubes']} cubes of {edge} nm: they "
        "describe other parts of this sample, not other cells."
    )


def _list_settings(results: ResultsInput, scores: Scores) -> list[tuple[str, str]]:
    zone = scores.get("zone")
    request = results.request
    rows = [
        ("results in", results.name),
        (
            "exclusion zone",
            f"{zone['out_nm']:g} nm outside and {zone['in_nm']:g} nm inside, {zone['shape']}"
            if zone
            else "none",
        ),
        ("ROI", str(request.get("roi") or "all common voxels")),
    ]
    boundary = scores.get("boundary")
    if boundary and boundary.get("mean_nm") is not None:
        rows.append(("mean distance of the boundaries", f"{format_float(boundary['mean_nm'])} nm"))
    for region, value in (scores.get("average_precision") or {}).items():
        if value is not None and region in TITLES:
            rows.append((f"average precision, {TITLES[region]}", f"{value:.3f}"))
    return rows


def _make_object_table(objects: Mapping[str, Mapping[str, Any]]) -> Table:
    titles = ("overlap above", "F1", "precision", "recall", "found", "missed", "false")
    columns = [Column(title) for title in titles]
    if len(objects) > 1:
        columns.insert(0, Column("prediction", is_number=False))
    rows = []
    for name, scores in objects.items():
        for percent in (50, 75):
            one = scores[f"iou_{percent}"]
            values = [_score(one[key]) for key in ("f1", "precision", "recall")]
            keys = ("true_positives", "false_negatives", "false_positives")
            row = [f"{percent / 100:g}", *values, *(f"{one[key]:,}" for key in keys)]
            rows.append([name, *row] if len(objects) > 1 else row)
    first = next(iter(objects.values()))
    caption = (
        f"Objects: {first['truth_objects']:,} in the labels, {first['predicted_objects']:,} "
        f"predicted; {first['splits']:,} splits, {first['merges']:,} merges"
    )
    return Table(caption, columns, rows)


def _score(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3f}"


def _alternatives(scores: Scores) -> dict[str, str]:
    """Return texts in place of the figures."""
    f1 = {region: _score(scores[region]["f1"]) for region in TITLES if scores.get(region)}
    numbers = ", ".join(f"{TITLES[region]} {value}" for region, value in f1.items())
    objects = scores.get("objects") or {}
    counts = f"{objects.get('truth_objects', 0)} objects in the labels"
    boundary = scores.get("boundary") or {}
    return {
        "zone_curve.png": f"F1 and IoU over the width of the exclusion zone; F1 {numbers}.",
        "precision_recall.png": f"Precision over recall for all thresholds; F1 at 0.5: {numbers}.",
        "objects.png": f"Largest overlap of each of {counts}, and over their volume.",
        "boundary_distances.png": "Fraction of boundary voxels within a distance; mean distance "
        f"{format_float(float(boundary.get('mean_nm') or 'nan'))} nm.",
    }


def has_scores(results: ResultsInput) -> bool:
    """Return whether results are those of an evaluation, with its scores."""
    is_evaluation = results.command == "evaluate" and not results.is_table
    return is_evaluation and (results.folder / SCORES_FILE).is_file()
