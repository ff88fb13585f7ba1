import base64

import numpy as np
import pytest

from asem.report.figures import encode_png_data_url, plot_overlay
from asem.report.html_report import ReportFigure, write_html_report


@pytest.mark.parametrize(
    "mask", [np.zeros((8, 9), bool), np.ones((8, 9), bool), np.eye(8, 9, dtype=bool)]
)
def test_an_overlay_is_a_png(mask):
    figure = plot_overlay(np.zeros((8, 9)), mask, mask, window=(0, 255), pixel_nm=(10.0, 10.0))
    head, data = encode_png_data_url(figure).split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data).startswith(b"\x89PNG")


def test_a_page_holds_its_numbers_and_escapes_its_words(tmp_path):
    row = {"precision": 0.5, "recall": None, "f1": 0.25, "iou": 0.125, "voxels": 1234567}
    scores = {"exclusion_zone": None, "all": row, "zone": None}
    write_html_report(
        tmp_path / "r.html",
        "a < b",
        summary="c & d",
        scores=scores,
        figures=[ReportFigure("e", "data:,")],
    )
    page = (tmp_path / "r.html").read_text()
    for part in ("a &lt; b", "c &amp; d", "0.500", "0.250", "1,234,567", "all voxels"):
        assert part in page
    assert '<img src="data:,"' in page
    assert "outside of the exclusion zone" not in page
