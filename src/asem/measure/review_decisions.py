"""Decisions of a person about measured objects: a CSV file, matched to objects, then flags.

::

    object_id,decision,z_nm,y_nm,x_nm,comment
    12,reject,410.5,1020.0,233.1,a vesicle
    13,accept,405.0,1132.4,240.9,

A decision is about the object of its id if that one is at its position (within `MATCH_NM`), else
about the nearest object at its position: ids change when a segmentation is made again. Decisions
change flags and notes, never a measurement.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from asem.config import MAX_POSITION_NM, NmZYX, shorten

ACCEPT, REJECT, UNDECIDED = "accept", "reject", ""
DECISION_COLUMNS: Mapping[str, str] = {
    "object_id": "id of the object in the table",
    "decision": "accept or reject; empty: undecided",
    "z_nm": "world position of the object, z",
    "y_nm": "world position of the object, y",
    "x_nm": "world position of the object, x",
    "comment": "a remark; the column may be missing",
}
"""Columns of a file of decisions, and their descriptions."""
REJECTED, ACCEPTED = "rejected", "accepted"
"""The flag of rejected objects, and the note of accepted ones."""
MATCH_NM = 50.0
"""Largest distance of an object from the position of a decision."""
MAX_DECISIONS_BYTES = 2**26
MAX_ID = 2**64 - 1


@dataclass(frozen=True)
class Decision:
    """A row of a file of decisions.

    Parameters
    ----------
    object_id
        Id of the object when the decision was made.
    decision
        `ACCEPT`, `REJECT` or `UNDECIDED`.
    position_nm
        World position of the object, (z, y, x).
    comment
        A remark.
    """

    object_id: int
    decision: str
    position_nm: NmZYX
    comment: str = ""


def read_decisions_file(path: Path) -> bytes:
    """Return the content of a file of decisions, of which `parse_decisions` checks the size.

    Raises
    ------
    OSError
        It is missing, no file, or cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file; name a file of decisions (review.csv)")
    with path.open("rb") as file:
        return file.read(MAX_DECISIONS_BYTES + 1)


def parse_decisions(content: bytes, name: str) -> list[Decision]:
    r"""Parse the content of a file of decisions: UTF-8, with commas; BOM and CRLF are allowed.

    Parameters
    ----------
    content
        The bytes of the file.
    name
        Name of the file in messages.

    Raises
    ------
    ValueError
        The content is too large, no text, or has other columns or values than `DECISION_COLUMNS`.

    Examples
    --------
    >>> text = b"object_id,decision,z_nm,y_nm,x_nm\n7,reject,1,2,3.5\n"
    >>> parse_decisions(text, "review.csv")
    [Decision(object_id=7, decision='reject', position_nm=(1.0, 2.0, 3.5), comment='')]
    """
    if len(content) > MAX_DECISIONS_BYTES:
        raise ValueError(f"{name} is larger than {MAX_DECISIONS_BYTES:,} bytes: no decisions")
    try:
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is no text in UTF-8 (byte {error.start}); save it as CSV UTF-8"
        ) from error
    except csv.Error as error:
        raise ValueError(f"{name} is damaged: {error}") from error
    if not rows:
        raise ValueError(f"{name} is empty; its first line names the columns")
    columns = [column.strip() for column in rows[0][1]]
    _check_columns(columns, name)
    decisions = [
        _parse_row(dict(zip(columns, row, strict=False)), len(row), len(columns), f"{name}, {n}")
        for n, row in ((f"line {number}", row) for number, row in rows[1:])
    ]
    _check_unique(decisions, name)
    return decisions


def _check_columns(columns: Sequence[str], name: str) -> None:
    """Raise ValueError unless these are the columns of a file of decisions, in any order."""
    required = [column for column in DECISION_COLUMNS if column != "comment"]
    missing = [column for column in required if column not in columns]
    if missing and len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        raise ValueError(f"{name} has no commas between its columns; save it as CSV with commas")
    if missing:
        raise ValueError(
            f"{name} has no column {missing[0]}; a file of decisions has {','.join(required)} and "
            "comment"
        )
    others = [column for column in columns if column not in DECISION_COLUMNS]
    if others or len(set(columns)) < len(columns):
        problem = f"a column {shorten(others[0])}" if others else "a column twice"
        raise ValueError(f"{name} has {problem}; its columns are {','.join(DECISION_COLUMNS)}")


def _parse_row(values: Mapping[str, str], found: int, expected: int, line: str) -> Decision:
    if found != expected:
        raise ValueError(f"{line}: {found} values instead of {expected}; it may be cut off")
    decision = values["decision"].strip().lower()
    if decision not in (ACCEPT, REJECT, UNDECIDED):
        raise ValueError(
            f"{line}: the decision {shorten(decision)}; write accept, reject, or nothing"
        )
    text = values["object_id"].strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= MAX_ID):
        raise ValueError(f"{line}: the object_id {shorten(text)} is no id")
    z, y, x = (_parse_position(values[f"{axis}_nm"], f"{line}: {axis}_nm") for axis in "zyx")
    return Decision(int(text), decision, (z, y, x), values.get("comment", ""))


def _parse_position(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= 2 * MAX_POSITION_NM:
        raise ValueError(f"{place} is {shorten(text)}; it is a position in nm")
    return value


def _check_unique(decisions: Sequence[Decision], name: str) -> None:
    """Raise ValueError where two decisions are about one object."""
    earlier: dict[tuple[int, ...], list[Decision]] = {}  # at most one apart fills a cube
    for one in decisions:
        cube = [math.floor(nm / MATCH_NM) for nm in one.position_nm]
        for z, y, x in product(*((c - 1, c, c + 1) for c in cube)):
            for other in earlier.get((one.object_id, z, y, x), ()):
                if math.dist(one.position_nm, other.position_nm) <= MATCH_NM:
                    raise ValueError(f"{name} has two rows of object {one.object_id}; delete one")
        earlier.setdefault((one.object_id, *cube), []).append(one)


def match_decisions(
    decisions: Sequence[Decision],
    ids: npt.NDArray[np.unsignedinteger],
    positions_nm: npt.NDArray[np.float64],
) -> npt.NDArray[np.intp]:
    """Return the row of the object that each decision is about, -1 where there is none.

    An object of the same id within `MATCH_NM` first, then the nearest others within that distance.
    No two decisions are about one object.

    Parameters
    ----------
    decisions
        (m,).
    ids, positions_nm
        Of the objects, (n,) and (n, 3), world positions.

    Examples
    --------
    >>> moved = [Decision(1, "accept", (0, 0, 9)), Decision(2, "reject", (0, 0, 300))]
    >>> places = np.array([[0.0, 0, 0], [0, 0, 290], [0, 0, 900]])
    >>> match_decisions(moved, np.array([1, 5, 2], np.uint64), places).tolist()
    [0, 1]
    """
    rows = np.full(len(decisions), -1, np.intp)
    finite = np.flatnonzero(np.isfinite(positions_nm).all(axis=1))
    if not len(finite) or not decisions:
        return rows
    tree = cKDTree(positions_nm[finite])
    pairs = []
    for number, one in enumerate(decisions):
        for near in tree.query_ball_point(one.position_nm, MATCH_NM, return_sorted=True):
            row = int(finite[near])
            distance = math.dist(one.position_nm, positions_nm[row])
            pairs.append((int(ids[row]) != one.object_id, distance, number, row))
    taken: set[int] = set()
    for _, _, number, row in sorted(pairs):
        if rows[number] < 0 and row not in taken:
            rows[number] = row
            taken.add(row)
    return rows


@dataclass(frozen=True)
class Review:
    """Decisions about the objects of a table.

    Parameters
    ----------
    by_row
        The decision about each object that has one, by its row.
    unmatched
        Decisions about none of the objects.
    """

    by_row: Mapping[int, Decision]
    unmatched: Sequence[Decision] = ()

    @classmethod
    def of_objects(
        cls,
        decisions: Sequence[Decision],
        ids: npt.NDArray[np.unsignedinteger],
        positions_nm: npt.NDArray[np.float64],
    ) -> "Review":
        """Match decisions to objects (`match_decisions`)."""
        rows = match_decisions(decisions, ids, positions_nm).tolist()
        pairs = list(zip(rows, decisions, strict=True))
        return cls(
            {row: one for row, one in pairs if row >= 0}, [one for row, one in pairs if row < 0]
        )

    def is_decided(self, decision: str, count: int) -> npt.NDArray[np.bool_]:
        """Return which of `count` objects have this decision, (count,)."""
        chosen = np.zeros(count, np.bool_)
        chosen[[row for row, one in self.by_row.items() if one.decision == decision]] = True
        return chosen

    def count(self, decision: str) -> int:
        """Return the number of objects with this decision."""
        return sum(one.decision == decision for one in self.by_row.values())


def accept_objects(
    flags: list[list[str]], notes: list[list[str]], review: Review, overridable: Set[str]
) -> None:
    """Note which objects were accepted; their flags that may be overridden become notes.

    Other flags stay: a person can accept no object that could not be measured.

    Parameters
    ----------
    flags, notes
        Of all objects; changed in place.
    review
        The decisions.
    overridable
        Flags that a person can override.

    Examples
    --------
    >>> flags, notes = [["outlier", "cut"], ["outlier"]], [[], []]
    >>> review = Review({0: Decision(1, "accept", (0, 0, 0))})
    >>> accept_objects(flags, notes, review, {"outlier"})
    >>> flags, notes
    ([['cut'], ['outlier']], [['accepted', 'outlier'], []])
    """
    for row, one in review.by_row.items():
        if one.decision == ACCEPT:
            notes[row] += [ACCEPTED, *(name for name in flags[row] if name in overridable)]
            flags[row] = [name for name in flags[row] if name not in overridable]


def reject_objects(flags: list[list[str]], review: Review) -> None:
    """Flag the objects that a person rejected; `flags` of all objects is changed in place."""
    for row, one in review.by_row.items():
        if one.decision == REJECT:
            flags[row].append(REJECTED)
