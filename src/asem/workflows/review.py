"""Review of measured objects: the options of a command, the decisions it uses, and their file.

The decisions are in the results folder, where `asem.blocks.results_folder.create_results` keeps
them; other decisions replace them when the results are written.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from asem.blocks.results_folder import ResultsFolder
from asem.measure.review_decisions import (
    ACCEPT,
    REJECT,
    Decision,
    Review,
    parse_decisions,
    read_decisions_file,
)

if TYPE_CHECKING:
    from asem.report.review_page import ReviewObject, ReviewPage

LOG = logging.getLogger(__name__)
REVIEW_PAGE, DECISIONS = "review.html", "review.csv"
MAX_REVIEW_OBJECTS = 5000
"""Objects of a page, the largest ones: a browser shows so many without delay."""
NAMED_OBJECTS = 5


@dataclass(frozen=True)
class ReviewOptions:
    """Review options of a command.

    Parameters
    ----------
    page
        Write the page on which objects are accepted or rejected.
    decisions
        File of decisions; None: that of the results folder, if there is one.
    """

    page: bool = False
    decisions: Path | None = None


NO_REVIEW = ReviewOptions()


@dataclass(frozen=True)
class DecisionsFile:
    """The decisions that a command uses.

    Parameters
    ----------
    name
        Of the file, for messages.
    decisions
        Its rows.
    replaces
        Content of the file in the results folder, where another file was named.
    """

    name: str = DECISIONS
    decisions: Sequence[Decision] = ()
    replaces: bytes | None = None

    def match(
        self,
        ids: npt.NDArray[np.unsignedinteger],
        positions_nm: npt.NDArray[np.float64],
    ) -> Review:
        """Match the decisions to objects; log a warning about those that match none."""
        review = Review.of_objects(self.decisions, ids, positions_nm)
        if lost := [str(one.object_id) for one in review.unmatched]:
            names = ", ".join(lost[:NAMED_OBJECTS]) + (", ..." if len(lost) > NAMED_OBJECTS else "")
            LOG.warning(
                "%s: %d of %d decisions match no object and are not used (object_id %s)",
                self.name, len(lost), len(self.decisions), names,
            )  # fmt: skip
        return review


def load_decisions(out: Path, options: ReviewOptions) -> DecisionsFile:
    """Read the decisions that the options name, or those of a results folder.

    Raises
    ------
    OSError, ValueError
        The file that is named does not exist, or a file is invalid.
    """
    own = out / DECISIONS
    if options.decisions is None and not own.exists():
        return DecisionsFile()
    path = options.decisions or own
    content = read_decisions_file(path)
    replaces = content if options.decisions is not None else None
    return DecisionsFile(str(path), parse_decisions(content, str(path)), replaces)


def write_decisions(output: ResultsFolder, file: DecisionsFile, review: Review) -> None:
    """Write the file of decisions where another one was named; add their numbers to provenance."""
    if file.replaces is not None:
        output.write_file(DECISIONS, file.replaces)
    if file.decisions:
        output.provenance["review"] = {
            **count_decisions(review),
            "unmatched": len(review.unmatched),
        }


def count_decisions(review: Review) -> dict[str, Any]:
    """Return the numbers of ``accepted`` and ``rejected`` objects; empty without decisions."""
    if not review.by_row:
        return {}
    return {"accepted": review.count(ACCEPT), "rejected": review.count(REJECT)}


def write_page(
    output: ResultsFolder, page: "ReviewPage", objects: "Mapping[int, ReviewObject]", review: Review
) -> None:
    """Write the page, with its objects in the order of their ids.

    Parameters
    ----------
    output
        The results folder.
    page
        Texts of the page.
    objects
        Chosen objects by their rows in the table (`choose_objects`).
    review
        Decisions about all rows; those about other objects are saved with the others.
    """
    from asem.report.review_page import format_review_page

    rows = sorted(objects, key=lambda row: objects[row].object_id)
    number = {row: n for n, row in enumerate(rows)}
    shown = Review(
        {number[row]: one for row, one in review.by_row.items() if row in number},
        [*review.unmatched, *(one for row, one in review.by_row.items() if row not in number)],
    )
    content = format_review_page(page, [objects[row] for row in rows], shown)
    output.write_file(REVIEW_PAGE, content)


def choose_objects(sizes: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return the rows of the objects of a page.

    Parameters
    ----------
    sizes
        Of all objects, (n,); of more than `MAX_REVIEW_OBJECTS`, the largest are chosen.
    """
    largest = np.argsort(-sizes, kind="stable")[:MAX_REVIEW_OBJECTS]
    if len(largest) < len(sizes):
        LOG.warning(
            "%s: %d of %d objects are on the page, the largest",
            REVIEW_PAGE, len(largest), len(sizes),
        )  # fmt: skip
    return np.sort(largest)
