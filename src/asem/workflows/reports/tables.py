"""Sections of tables: objects, contacts, nuclear pores, coated pits, and any other table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from asem.blocks.output_nesting import read_json_or_empty
from asem.measure.pits.table import is_used as is_used_pit
from asem.measure.pores.table import is_used as is_used_pore
from asem.report.page.data_table import make_table
from asem.report.page.numbers import format_float
from asem.report.page.parts import Part, Section, Table, Text
from asem.tables import read_table_file
from asem.workflows.reports.charts import embed_figures
from asem.workflows.reports.inputs import ResultsInput
from asem.workflows.statistics_file import STATISTICS

CAPTIONS = {
    "sizes.png": "Distributions of volumes and longest axes",
    "diameters.png": "Diameters of the pores",
    "profiles.png": "Grey values along the diameters",
    "map.png": "Pores on the nuclear envelope",
    "height.png": "Diameters over the height in the cell",
    "depth.png": "Depth and width of the pits",
    "neck.png": "Neck and depth of the pits",
    "shapes.png": "Shapes of pits and vesicles",
    "gallery.png": "Gallery",
}
"""Of the figures of asem measure, pores and pits, in the order of the page."""
TABLE_CAPTIONS = {
    "objects": "Objects", "contacts": "Pairs of objects within the search distance",
    "pores": "Nuclear pores", "pits": "Pits and vesicles",
}  # fmt: skip
LARGEST_BY = {
    "objects": "volume_um3", "contacts": "area_um2", "pores": "diameter_nm", "pits": "width_nm",
}  # fmt: skip
"""Column whose largest values are shown, of more rows than the page has."""
PRINTED = {
    "objects": ("object_id", "volume_um3", "surface_um2", "z_nm", "y_nm", "x_nm", "axis_long_nm",
                "sphericity", "best_iou", "side"),
    "pores": ("pore_id", "z_nm", "y_nm", "x_nm", "diameter_nm", "diameter_se_nm", "flags"),
    "pits": ("object_id", "kind", "location", "coated", "height_nm", "width_nm", "neck_nm",
             "flags"),
}  # fmt: skip
"""Columns on paper."""


def read_results_table(results: ResultsInput, name: str) -> pd.DataFrame:
    """Read a table of results.

    Raises
    ------
    OSError, ValueError
        It cannot be read, is too large, or has texts where numbers are summarized.
    """
    path = results.file if results.is_table else results.folder / f"{name}.parquet"
    frame = read_table_file(path)
    for column in set(LARGEST_BY.values()) & set(frame):
        if len(frame) and not pd.api.types.is_numeric_dtype(frame[column].dtype):
            raise ValueError(f"{path}: the column {column} has values that are no numbers")
    return frame


def describe_table_file(
    results: ResultsInput, name: str, frame: pd.DataFrame, *, caption: str = ""
) -> list[Table]:
    """Return a table of results as one of the page; none where it has no columns."""
    if not len(frame.columns):
        return []
    texts = results.provenance.get("columns")
    descriptions = texts.get(name, {}) if isinstance(texts, dict) else {}
    return [
        make_table(
            frame,
            caption=f"{caption or TABLE_CAPTIONS.get(name, name)} ({len(frame):,})",
            source=results.name if results.is_table else f"{name}.csv of {results.name}",
            descriptions=descriptions if isinstance(descriptions, Mapping) else {},
            largest_by=LARGEST_BY.get(name),
            printed=[column for column in PRINTED.get(name, ()) if column in frame],
        )
    ]


def describe_results_section(
    results: ResultsInput, frames: Mapping[str, pd.DataFrame], structure: str
) -> Section:
    """Return the section of results of asem measure, pores or pits, or of a single table."""
    summary = summarize_tables(results, frames)
    parts: list[Part] = [Text(sentence) for sentence in summary]
    text = " ".join(summary)
    alternatives = {name: f"{caption}. {text}".strip() for name, caption in CAPTIONS.items()}
    if not results.is_table:
        parts += embed_figures(results.folder, CAPTIONS, alternatives=alternatives)
    for name, frame in frames.items():
        parts += describe_table_file(results, name, frame)
    made = f"by asem {results.command}" if results.command else "of this file"
    parts.append(Text(f"Tables {made} in {results.name}.", is_note=True))
    titles = {"measure": "Objects", "pores": "Nuclear pores", "pits": "Pits and vesicles"}
    if results.is_table or results.command not in titles:
        return Section(f"Table: {results.name}", parts)
    return Section(f"{titles[results.command]}: {structure or results.name}", parts)


def summarize_tables(results: ResultsInput, frames: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return the main numbers of tables, a sentence each."""
    sentences: list[str] = []
    statistics = read_json_or_empty(results.folder / STATISTICS)
    for name, frame in frames.items():
        if name == "pores" and {"diameter_nm", "flags"} <= set(frame):
            used = frame["diameter_nm"][is_used_pore(frame)].to_numpy(np.float64)
            sentences.append(_describe_distribution("nuclear pores", "diameter", used, len(frame)))
        elif name == "pits" and {"width_nm", "flags"} <= set(frame):
            used = frame["width_nm"][is_used_pit(frame)].to_numpy(np.float64)
            sentences.append(_describe_distribution("pits and vesicles", "width", used, len(frame)))
            sentences += _describe_groups(statistics)
        elif "volume_um3" in frame and results.command != "evaluate":
            volume = frame["volume_um3"].to_numpy(np.float64)
            if len(volume):
                sentences.append(_describe_volumes(volume))
        elif name == "contacts":
            sentences.append(f"{len(frame):,} pairs of objects are within the search distance.")
    return sentences


def _describe_volumes(volume: Sequence[float] | np.ndarray[Any, Any]) -> str:
    low, median, high = np.quantile(volume, (0.1, 0.5, 0.9))
    return (
        f"{len(volume):,} objects: the median volume is {format_float(median, 3)} µm³, 80 % are "
        f"between {format_float(low, 3)} and {format_float(high, 3)} µm³, all together have "
        f"{format_float(float(np.sum(volume)), 3)} µm³."
    )


def _describe_distribution(objects: str, size: str, used: np.ndarray[Any, Any], count: int) -> str:
    text = f"{count:,} {objects}, {len(used):,} of them without a flag"
    if not len(used):
        return f"{text}."
    low, median, high = np.quantile(used, (0.25, 0.5, 0.75))
    return (
        f"{text}: the median {size} is {format_float(median, 3)} nm, half of them are between "
        f"{format_float(low, 3)} and {format_float(high, 3)} nm."
    )


def _describe_groups(statistics: Mapping[str, Any]) -> list[str]:
    """Return the sentences of the groups of pits in ``statistics.json``."""
    groups = statistics.get("groups")
    sentences = []
    for name, group in groups.items() if isinstance(groups, dict) else ():
        width = group.get("width_nm") if isinstance(group, dict) else None
        if not isinstance(width, dict):
            continue
        interval = width.get("median_interval_95_nm")
        if not isinstance(interval, list) or len(interval) != 2:
            continue
        ends = ", ".join(format_float(float(end), 3) for end in interval)
        sentences.append(
            f"{name.replace('_', ' ').capitalize()}: {width['n']:,}, median width "
            f"{format_float(float(width['median_nm']), 3)} [{ends}] nm."
        )
    return sentences
