"""Write a report of runs, images, evaluations and tables as one HTML page (`asem report`).

`asem.workflows.reports` finds the inputs and makes a section of each kind; `asem.report.page` makes
them one page. The page depends on its inputs only: it has no date of its own, so that equal inputs
give equal bytes.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from asem.blocks.output_nesting import check_output_path
from asem.report.page.parts import Page, Section
from asem.report.page.render import GENERATOR, GENERATOR_BYTES, render_page
from asem.system.files import open_regular_file, replace_file
from asem.system.overwrite_policy import OutputKind
from asem.volume.address import Address, AddressLike
from asem.workflows.reports.history import describe_history
from asem.workflows.reports.images import find_layers
from asem.workflows.reports.inputs import REPORTABLE, ReportInputs, ResultsInput, find_inputs
from asem.workflows.reports.layers import OpenLayers
from asem.workflows.reports.places import describe_places
from asem.workflows.reports.planes import choose_place, describe_planes
from asem.workflows.reports.runs import describe_run_section, read_run
from asem.workflows.reports.scored import Comparison, compare, corners_nm
from asem.workflows.reports.scores import describe_scores_section, has_scores, read_scores
from asem.workflows.reports.summary import (
    Results,
    list_header,
    list_key_numbers,
    list_sentences,
)
from asem.workflows.reports.tables import describe_results_section, read_results_table

LOG = logging.getLogger(__name__)
T = TypeVar("T")
PLANES, PLACES, TRAINING = "Three planes", "Worst and best places", "Training"
"""Groups whose sections are within one of this title."""
SCORES, TABLES = "scores", "tables"
"""Groups whose sections are not."""
MAX_STRUCTURES = 6
"""Structures that are drawn."""
SUFFIXES = (".html", ".htm")
"""Of the page."""
DAMAGED = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""Errors of input that is damaged, or of another form."""
MAX_SHOWN_INPUTS = 4
"""Inputs that the title names."""


def write_report(
    addresses: Sequence[AddressLike],
    out: Path,
    *,
    title: str | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a report of what is at addresses.

    Parameters
    ----------
    addresses
        Run directories, images, folders with images, results folders, tables, or folders with any
        of these.
    out
        The HTML file.
    title
        Heading; None: the names of the inputs.
    overwrite
        Replace a report at `out`.

    Returns
    -------
    dict
        ``report``, the path; ``runs``, ``images`` and ``results``, their numbers; ``bytes``.

    Raises
    ------
    FileExistsError
        `out` exists and may not be replaced.
    FileNotFoundError, OSError, ValueError
        There is nothing at an address, nothing to report, or an input is damaged.
    """
    check_report_path(out, overwrite=overwrite)
    content, inputs = make_report(addresses, title=title)
    check_report_path(out, overwrite=overwrite)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(out) as file:
        file.write(content)
    return {
        "report": str(out),
        "runs": len(inputs.runs),
        "images": len(inputs.images),
        "results": len(inputs.results),
        "bytes": len(content),
    }


def check_report_path(out: Path, *, overwrite: bool) -> None:
    """Raise an error unless a report may be written to `out`.

    Raises
    ------
    FileExistsError
        It exists and may not be replaced.
    ValueError
        It is no name of an HTML file.
    """
    check_output_path(out)
    REPORT.check_replaceable(out, overwrite=overwrite)
    if out.suffix.lower() not in SUFFIXES:
        raise ValueError(
            f"{out}: a report is an HTML file; give it the suffix .html (browsers print it to PDF)"
        )


def _find_foreign(path: Path) -> Path | None:
    """Return None for a report of asem."""
    if path.is_symlink() or not path.is_file():
        return Path()
    with open_regular_file(path) as file:
        start = file.read(GENERATOR_BYTES)
    return None if GENERATOR in start else Path()


REPORT = OutputKind("a report", _find_foreign, is_file=True)


def make_report(
    addresses: Sequence[AddressLike], *, title: str | None = None
) -> tuple[bytes, ReportInputs]:
    """Return the page as HTML, and what it is about; parameters as those of `write_report`."""
    if not addresses:
        raise ValueError(f"give one or several paths to report: {REPORTABLE}")
    inputs = find_inputs(addresses)
    names = [str(Address.parse(one)) for one in addresses]
    results = _read_results(inputs)
    sections = _make_sections(inputs, results)
    if not sections:
        raise ValueError(f"there is nothing to report: {'; '.join(inputs.warnings)}")
    shown = ", ".join(Path(name).resolve().name or name for name in names[:MAX_SHOWN_INPUTS])
    page = Page(
        title=title or f"Report: {shown}{', ...' if len(names) > MAX_SHOWN_INPUTS else ''}",
        facts=list_header(names, inputs),
        numbers=_try(inputs, "summary", partial(list_key_numbers, inputs, results)) or [],
        sentences=_try(inputs, "summary", partial(list_sentences, inputs, results)) or [],
        sections=sections,
        warnings=inputs.warnings,
    )
    for message in inputs.warnings:
        LOG.warning("%s", message)
    return render_page(page), inputs


def _read_results(inputs: ReportInputs) -> Results:
    """Read runs, scores and tables; what is damaged becomes a warning."""
    results = Results()
    for name, folder in inputs.runs:
        state = _try(inputs, name, partial(read_run, folder))
        if state is not None:
            results.runs.append((name, state))
    for one in inputs.results:
        if has_scores(one):
            scores = _try(inputs, one.name, partial(read_scores, one))
            if scores is not None:
                results.scores.append((one, scores))
        elif not one.tables:
            inputs.warn(f"{one.name} is not in this report: it has no table (.parquet)")
        elif frames := _try(inputs, one.name, partial(_read_tables, one)):
            results.tables.append((one, frames))
    return results


def _read_tables(one: ResultsInput) -> dict[str, pd.DataFrame]:
    return {name: read_results_table(one, name) for name in one.tables}


def _make_sections(inputs: ReportInputs, results: Results) -> list[Section]:
    """Return the sections in the order of the page."""
    jobs: list[_Job] = []
    for one, named in results.scores:
        jobs.append(
            _Job(
                SCORES,
                one.name,
                partial(_list_one, describe_scores_section, one, named, inputs.structure_of(one)),
            )
        )
    structures = find_layers(inputs.images)
    if len(structures) > MAX_STRUCTURES:
        inputs.warn(f"{MAX_STRUCTURES} of {len(structures)} structures are drawn")
    for layers in structures[:MAX_STRUCTURES]:
        comparison = compare(layers, results.scores, inputs.images)
        opened = _try(inputs, layers.structure, partial(OpenLayers.open, comparison.layers))
        if opened is not None and opened.frame:
            draw = partial(_draw_planes, opened, comparison)
            jobs.append(_Job(PLANES, layers.structure, draw))
            find = partial(_find_places, opened, comparison)
            jobs.append(_Job(PLACES, layers.structure, find))
    for one, frames in results.tables:
        jobs.append(
            _Job(
                TABLES,
                one.name,
                partial(_list_one, describe_results_section, one, frames, inputs.structure_of(one)),
            )
        )
    for name, state in results.runs:
        jobs.append(_Job(TRAINING, name, partial(_list_one, describe_run_section, name, state)))
    groups_of = (PLANES, SCORES, PLACES, TABLES, TRAINING)
    made: dict[str, list[Section]] = {name: [] for name in groups_of}
    for job in jobs:
        made[job.group] += _try(inputs, job.name, job.make) or []
    groups = {name: [Section(name, sections=inner)] * bool(inner) for name, inner in made.items()}
    history = [describe_history(inputs.images)] if inputs.images else []
    return [
        *groups[PLANES],
        *made[SCORES],
        *groups[PLACES],
        *made[TABLES],
        *groups[TRAINING],
        *history,
    ]


@dataclass(frozen=True)
class _Job:
    """Makes sections of a group."""

    group: str
    name: str
    make: Callable[[], list[Section]]


def _list_one(make: Callable[..., Section], *arguments: Any) -> list[Section]:
    return [make(*arguments)]


def _try(inputs: ReportInputs, name: str, make: Callable[[], T]) -> T | None:
    """Return what a function makes; None, with a warning on the page, of damaged input."""
    try:
        return make()
    except DAMAGED as error:
        inputs.warn(f"{name} is not in this report: {error}")
        return None


def _draw_planes(opened: OpenLayers, comparison: Comparison) -> list[Section]:
    corners = None
    if opened.prediction and opened.labels:
        prediction = opened.prediction[0]
        scored = comparison.find_scored(prediction, opened.labels[0])
        corners = corners_nm(prediction, scored)
    return [describe_planes(opened, choose_place(opened, corners))]


def _find_places(opened: OpenLayers, comparison: Comparison) -> list[Section]:
    if not (opened.prediction and opened.labels):
        return []
    scored = comparison.find_scored(opened.prediction[0], opened.labels[0])
    return describe_places(opened, scored, comparison.zone) if scored.size else []
