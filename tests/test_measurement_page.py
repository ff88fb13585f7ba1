"""docs/measurement.md, docs/pores.md and docs/pits.md list every column of the tables."""

import re
from pathlib import Path

from asem.measure.object_table import CONTACT_COLUMNS, OBJECT_COLUMNS
from asem.measure.pits.table import PIT_COLUMNS, PIT_FLAGS, PIT_NOTES
from asem.measure.pores.table import (
    CELL_DESCRIPTION,
    PORE_COLUMNS,
    PORE_FLAGS,
    PORE_NOTES,
)
from asem.workflows import combine_pits, pits
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


def test_the_page_of_pits_describes_columns_flags_notes_and_files():
    text = (DOCS / "pits.md").read_text()
    expected = {**PIT_COLUMNS, **PIT_FLAGS, **PIT_NOTES}
    assert rows_of(text).items() >= {**expected, CELL_COLUMN: combine_pits.CELL_DESCRIPTION}.items()
    assert [name for name in pits.FILES if f"`ccp/{name}`" not in text] == []
