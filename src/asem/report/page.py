"""The page that shows a result: one HTML file that needs nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader

from asem.system.files import replaced

ROWS = {"exclusion_zone": "outside of the exclusion zone", "all": "all voxels"}


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Parameters
    ----------
    title
        Its caption.
    source
        A data URL.
    """

    title: str
    source: str


def write_page(
    path: Path, title: str, *, summary: str, scores: dict[str, Any], pictures: list[Picture]
) -> None:
    """Write a page with scores and pictures.

    Parameters
    ----------
    path
        The HTML file.
    title, summary
        What it is, in a line and in a paragraph.
    scores
        From `asem.workflows.evaluate.evaluate_volume`.
    pictures
        In order.
    """
    environment = Environment(loader=PackageLoader("asem.report"), autoescape=True)
    rows = [(ROWS[key], scores[key]) for key in ROWS if scores[key] is not None]
    page = environment.get_template("page.html").render(
        title=title, summary=summary, rows=rows, zone=scores["zone"], pictures=pictures
    )
    with replaced(path) as file:
        file.write(page.encode())
