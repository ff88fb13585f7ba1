"""docs/measurement.md and docs/pores.md list every column of the tables."""

import re
from pathlib import Path

from asem.measure.object_table import CONTACT_COLUMNS, OBJECT_COLUMNS
from asem.measure.pores.table import (
    CELL_DESCRIPTION,
    PORE_COLUMNS,
    PORE_FLAGS,
    PORE_NOTES,
)
from asem.workflows.combine_tables import CELL_COLUMN
from asem.workflows.pores import FILES

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PORE_PAGE = DOCS / "measurement.md", DOCS / "pores.md"


def rows_of(page):
    """Names and descriptions of the columns in the tables of a page."""
    return dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))


def test_the_page_describes_every_column():
    expected = {**OBJECT_COLUMNS, **CONTACT_COLUMNS}
    assert rows_of(PAGE.read_text()).items() >= expected.items()


def test_the_page_of_pores_describes_columns_flags_notes_and_files():
    text = PORE_PAGE.read_text()
    expected = {**PORE_COLUMNS, **PORE_FLAGS, **PORE_NOTES, CELL_COLUMN: CELL_DESCRIPTION}
    assert rows_of(text).items() >= expected.items()
    assert [name for name in FILES if f"`npc/{name}`" not in text] == []
