"""Figures in results folders, embedded in the page."""

import base64
from collections.abc import Mapping
from pathlib import Path

from asem.report.page.parts import Chart
from asem.system.files import open_regular_file

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_FIGURE_BYTES = 2_000_000
"""Larger files are not embedded: no figure of asem is as large."""


def embed_figures(
    folder: Path, captions: Mapping[str, str], *, alternatives: Mapping[str, str]
) -> list[Chart]:
    """Return the figures that are in a folder.

    Parameters
    ----------
    folder
        Of the results.
    captions
        Of each figure, by the name of its file, in the order of the page.
    alternatives
        Texts in place of the figures; the caption where there is none.
    """
    charts = []
    for name, caption in captions.items():
        content = _read_png(folder / name)
        if content is not None:
            url = "data:image/png;base64," + base64.b64encode(content).decode()
            charts.append(Chart(caption, alternatives.get(name, caption), url))
    return charts


def _read_png(path: Path) -> bytes | None:
    """Return the content of a PNG file; None where there is none."""
    if path.is_symlink() or not path.is_file():
        return None
    with open_regular_file(path) as file:
        content = file.read(MAX_FIGURE_BYTES + 1)
    is_figure = content.startswith(PNG_SIGNATURE) and len(content) <= MAX_FIGURE_BYTES
    return content if is_figure else None
