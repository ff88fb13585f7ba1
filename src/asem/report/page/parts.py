"""Parts of the page of a report, as plain data: sections, lists, tables, commands.

The template ``templates/report.html`` writes each kind of part; all texts are escaped there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from asem.report.page.pictures import Pictures

RESERVED_ANCHORS = ("", "summary", "status")
"""Names that the template itself uses."""
MAX_FIXED_ROWS = 2
"""Tables of so few rows do not sort."""
_NOT_IN_ANCHOR = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Parameters
    ----------
    text
        Plain text.
    is_note
        Whether it is a remark beside the results.
    """

    kind: ClassVar[str] = "text"
    text: str
    is_note: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values, one below the other.

    Parameters
    ----------
    rows
        Name and value of each.
    summary
        Heading that opens and closes the list; empty: the list is always open.
    """

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, str]]
    summary: str = ""


@dataclass(frozen=True)
class Step:
    """A step of the history of an image.

    Parameters
    ----------
    name
        The image.
    made_by
        What made it, in words.
    settings
        Names and values.
    """

    name: str
    made_by: str
    settings: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Steps:
    """The history of images: each one after those of which it was made."""

    kind: ClassVar[str] = "steps"
    steps: Sequence[Step]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    title, unit
        In the head of the table.
    description
        What it is; empty: not described.
    is_number
        Whether its cells are numbers, which are aligned and sorted as such.
    is_printed
        Whether it is on paper, too.
    """

    title: str
    unit: str = ""
    description: str = ""
    is_number: bool = True
    is_printed: bool = True


@dataclass(frozen=True)
class Table:
    """A table that sorts.

    Parameters
    ----------
    caption
        What a row is.
    columns, rows
        Heads, and the cells of each row as text.
    note
        What is not in the table; empty: nothing.
    has_filter
        Whether rows can be selected by their text.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    note: str = ""
    has_filter: bool = False

    @property
    def is_sorted(self) -> bool:
        """Whether its rows can be sorted: some have an order of their own."""
        return len(self.rows) > MAX_FIXED_ROWS

    @property
    def cell_classes(self) -> list[str]:
        """The class attribute of the cells of each column, as HTML."""
        names = (
            " ".join(["words"] * (not one.is_number) + ["screen"] * (not one.is_printed))
            for one in self.columns
        )
        return [f' class="{name}"' if name else "" for name in names]

    @property
    def described(self) -> list[Column]:
        """The columns that have a description."""
        return [column for column in self.columns if column.description]


@dataclass(frozen=True)
class Chart:
    """A figure with a white background.

    Parameters
    ----------
    caption, alternative
        Text above it; text in place of it, with numbers.
    data_url
        The figure.
    """

    kind: ClassVar[str] = "chart"
    caption: str
    alternative: str
    data_url: str


@dataclass(frozen=True)
class Command:
    """A command to copy, and what it does."""

    kind: ClassVar[str] = "command"
    text: str
    command: str


Part = Text | Facts | Steps | Table | Pictures | Chart | Command


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Parameters
    ----------
    title
        Its heading.
    parts
        Below the heading.
    sections
        Sections within it, below its parts.
    has_text_beside
        Whether the text is beside the pictures, where there is space.
    """

    title: str
    parts: Sequence[Part] = ()
    sections: Sequence["Section"] = ()
    has_text_beside: bool = False


@dataclass(frozen=True)
class KeyNumber:
    """A main number of the summary.

    Parameters
    ----------
    value
        With its unit and interval.
    name
        What it is.
    """

    value: str
    name: str


@dataclass(frozen=True)
class Page:
    """A report.

    Parameters
    ----------
    title
        Its heading.
    facts
        What was done on what, when, by which version.
    numbers, sentences
        The summary.
    sections
        In the order of the page.
    warnings
        What could not be read.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    numbers: Sequence[KeyNumber] = ()
    sentences: Sequence[str] = ()
    sections: Sequence[Section] = ()
    warnings: Sequence[str] = field(default_factory=tuple)


def make_anchors(titles: Sequence[str]) -> list[str]:
    """Return a distinct name for each title, to link to it.

    Examples
    --------
    >>> make_anchors(["Scores of mito", "Scores of mito", "µ"])
    ['scores-of-mito', 'scores-of-mito-2', 'section-3']
    """
    anchors: list[str] = []
    for number, title in enumerate(titles, 1):
        anchor = _NOT_IN_ANCHOR.sub("-", title.lower()).strip("-")
        is_free = anchor not in (*RESERVED_ANCHORS, *anchors)
        anchors.append(anchor if is_free else f"{anchor or 'section'}-{number}")
    return anchors
