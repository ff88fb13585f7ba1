"""docs/measurement.md lists every column of the tables."""

import re
from pathlib import Path

from asem.measure.object_table import CONTACT_COLUMNS, OBJECT_COLUMNS

PAGE = Path(__file__).parents[1] / "docs/measurement.md"


def rows_of(page):
    """Names and descriptions of the columns in the tables of a page."""
    return dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))


def test_the_page_describes_every_column():
    expected = {**OBJECT_COLUMNS, **CONTACT_COLUMNS}
    assert rows_of(PAGE.read_text()).items() >= expected.items()
