"""Print the result of a command: a table with units for people, JSON for programs."""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asem.cli.streams import escape_control_characters

SCORES = {"precision": "precision", "recall": "recall", "f1": "F1", "iou": "IoU"}
"""Keys of scores, and the titles of their columns."""
REGION_SCORES = {
    "validation_loss": "loss",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}
"""Keys of scores of a validation region, and the titles of their columns."""
SCORED = {"exclusion_zone": "outside the exclusion zone", "all": "all voxels"}
"""Keys of tables of scores, and the titles of their rows."""
LABELS = {
    "voxel_size": "voxel size",
    "voxel_size_range": "accepted voxel sizes",
    "offset_nm": "position of the first voxel's centre",
    "origin_nm": "position of the first voxel's centre",
    "dtype": "data type",
    "window": "contrast window",
    "original": "original grid",
    "made_by": "made by",
    "zone": "exclusion zone",
    "out_nm": "width outside the borders",
    "in_nm": "width inside the borders",
    "run": "run directory",
    "iteration": "iterations",
    "best": "best checkpoint (iteration)",
    "resumes_at": "resumes at iteration",
    "best_checkpoint": "best checkpoint",
    "last_checkpoint": "last validated checkpoint",
    "train_loss": "training loss",
    "f1": "F1",
    "asem": "asem version",
    "train": "[[train]]",
    "validation": "[[validation]]",
    "roi": "ROI",
    "first_fit": "fine-tuning starts at",
    "metrics": "metrics of the best checkpoint",
    "memory_mib": "memory",
    "disk_mib": "disk space",
    "seconds": "time",
    "context": "context of the network",
    "smallest": "smallest input edge",
    "step": "step of input edges",
}
"""What keys of results are called, where it is not the key with spaces."""
UNITS = {
    "shape": "voxels",
    "chunk": "voxels",
    "shard": "voxels",
    "voxel_size": "nm",
    "voxel_size_range": "nm",
    "context": "voxels",
    "smallest": "voxels",
    "step": "voxels",
    "tile": "voxels",
    "seconds": "s",
}
"""Units of keys that do not end in their unit."""
SUFFIXES = {"_nm": "nm", "_nm3": "nm³", "_mib": "MiB"}
"""Units that keys end in."""
LISTED_TABLES = ("train", "validation")
"""Keys of lists of tables, which are printed one below the other."""
POSITIONS = ("offset_nm", "origin_nm", "position_nm")
"""Keys of world positions, which are no sizes."""
EXACT = (*POSITIONS, "voxel_size", "voxel_size_range", "window")
"""Keys of values that are copied into options, with all digits."""
PLAIN_INTEGER = 9999
"""Larger integers have separators of thousands."""


def print_result(result: dict[str, Any], *, as_json: bool) -> None:
    """Print a result on stdout: JSON, or a table.

    Parameters
    ----------
    result
        Values by key; nested.
    as_json
        Print one line of JSON.
    """
    print_lines(format_result(result), result, as_json=as_json)


def print_lines(lines: Sequence[str], result: dict[str, Any], *, as_json: bool) -> None:
    """Print lines on stdout, or the result as one line of JSON."""
    text = "\n".join(map(escape_control_characters, lines))
    sys.stdout.write((to_json(result) if as_json else text) + "\n")


def format_result(result: Mapping[str, Any]) -> list[str]:
    r"""Return the lines of a table: labels, values with units, scores in columns.

    Examples
    --------
    >>> print(*format_result({"shape": [40, 64, 64], "voxel_size": [5.24, 4, 4]}), sep="\n")
    shape (z, y, x)       40 x 64 x 64 voxels
    voxel size (z, y, x)  5.24 x 4 x 4 nm
    """
    scores = {key: value for key, value in result.items() if _are_scores(value)}
    others = {
        key: value
        for key, value in result.items()
        if key not in scores and not (key in SCORED and value is None)
    }
    rows = list(_rows(others))
    width = max((len(label) for label, _ in rows), default=0)
    lines = [f"{label:{width}}  {value}".rstrip() for label, value in rows]
    return [*_score_table(scores), *lines]


def _are_scores(value: Any) -> bool:
    return isinstance(value, Mapping) and value.keys() >= SCORES.keys()


def _score_table(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not scores:
        return []
    width = max(len(SCORED.get(key, key)) for key in scores)
    titles = "".join(f"{title:>11}" for title in SCORES.values())
    lines = [f"{'':{width}}{titles}{'voxels':>16}"]
    for name, row in scores.items():
        cells = "".join(f"{_score(row[key]):>11}" for key in SCORES)
        lines.append(f"{SCORED.get(name, name):{width}}{cells}{row['voxels']:>16,}")
    return lines


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rows(
    result: Mapping[str, Any], indent: str = "", parent_unit: str | None = None
) -> Iterator[tuple[str, str]]:
    for key, value in result.items():
        unit = UNITS.get(key) or _suffix(key)[1] or parent_unit
        if key == "regions":
            yield from _region_table(value, indent)
        elif key in LISTED_TABLES:
            for table in value:
                yield from _rows({f"{_label(key)} ": table}, indent)
        elif isinstance(value, Mapping) and value:
            yield f"{indent}{_label(key)}", ""
            yield from _rows(value, indent + "  ", unit)
        else:
            axes = " (z, y, x)" if _is_triple(value) else ""
            yield f"{indent}{_label(key)}{axes}", _with_unit(key, value, unit)


def _region_table(regions: Sequence[Mapping[str, Any]], indent: str) -> Iterator[tuple[str, str]]:
    """Yield a line of titles, then one for the scores of each validation region."""
    if not regions:
        return
    titles = "".join(f"{title:>11}" for title in (*REGION_SCORES.values(), "voxels"))
    yield f"{indent}validation regions", titles.removeprefix("  ")
    for row in regions:
        cells = "".join(f"{_score(row[key]):>11}" for key in REGION_SCORES)
        voxels = _value(row["voxels"], 0, "")
        yield f"{indent}  {row['region']}", f"{cells}{voxels:>11}".removeprefix("  ")


def _label(key: str) -> str:
    if key in LABELS:
        return LABELS[key]
    return key.removesuffix(_suffix(key)[0]).replace("_", " ") if key.isidentifier() else key


def _is_triple(value: Any) -> bool:
    is_list = isinstance(value, list | tuple) and len(value) == 3
    return is_list and all(isinstance(one, int | float) for one in value)


def _suffix(key: str) -> tuple[str, str | None]:
    """Return the suffix of a key that states a unit, and the unit; empty and None without one."""
    return next(((end, unit) for end, unit in SUFFIXES.items() if key.endswith(end)), ("", None))


def _with_unit(key: str, value: Any, unit: str | None) -> str:
    digits = 9 if key in EXACT else 4
    text = _value(value, digits, ", " if key in POSITIONS else " x ")
    numeric = isinstance(value, int | float | list | tuple) and not isinstance(value, bool)
    return f"{text} {unit}" if unit and numeric and value not in ([], ()) else text


def _value(value: Any, digits: int, between: str) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}" if abs(value) > PLAIN_INTEGER else str(value)
        case float():
            return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
        case list() | tuple():
            parts = (_value(one, digits, between) for one in value)
            return (between if _is_triple(value) else ", ").join(parts)
        case Mapping():
            return to_json(value) if value else "-"
        case _:
            return str(value)


def to_json(value: Any) -> str:
    """Write a value as JSON that every program reads: null for numbers that are not finite.

    Examples
    --------
    >>> to_json({"width": float("inf"), "of": ["a", (1.5, float("nan"))]})
    '{"width": null, "of": ["a", [1.5, null]]}'
    """
    return json.dumps(_replace_non_finite(value), allow_nan=False)


def _replace_non_finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _replace_non_finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_non_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
