"""Write the self-contained HTML report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from asem.system.files import replace_file

SCORE_ROWS = {"exclusion_zone": "outside of the exclusion zone", "all": "all voxels"}


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    Parameters
    ----------
    title
        Caption.
    data_url
        Image as a data URL (`asem.report.figures.encode_png_data_url`).
    """

    title: str
    data_url: str


def write_html_report(
    path: Path, title: str, *, summary: str, scores: dict[str, Any], figures: list[ReportFigure]
) -> None:
    """Write a report with scores and figures as one HTML file.

    Parameters
    ----------
    path
        The HTML file.
    title, summary
        Heading and first paragraph.
    scores
        From `asem.workflows.evaluate.evaluate_volume`.
    figures
        In the order of the report.
    """
    environment = Environment(loader=PackageLoader("asem.report"), autoescape=True)
    rows = [(SCORE_ROWS[key], scores[key]) for key in SCORE_ROWS if scores[key] is not None]
    page = environment.get_template("page.html").render(
        title=title, summary=summary, rows=rows, zone=scores["zone"], figures=figures
    )
    with replace_file(path) as file:
        file.write(page.encode())
