"""Write the page on which a person accepts or rejects measured objects: one file, no network."""

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader
from skimage.measure import approximate_polygon, find_contours

from asem.config import NmZYX
from asem.measure.object_planes import ObjectPlane
from asem.measure.review_decisions import Decision, Review

JPEG_QUALITY = 85
PIXELS_PER_NM = 1.0
"""Scale of the pictures on the page."""
TOLERANCE_PIXELS = 0.25
"""Largest error of the outlines of masks."""
Line = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ReviewPicture:
    """A picture of an object, with outlines.

    Parameters
    ----------
    title
        Caption.
    image
        Grey values, uint8, (rows, columns).
    pixel_nm
        Height and width of a pixel.
    mask
        Outlines of masks, (m, 2) each: row and column, 0 in the centre of the first pixel.
    measured
        Lines that were measured, as `mask`; a line of one point is drawn as a dot.
    """

    title: str
    image: npt.NDArray[np.uint8]
    pixel_nm: tuple[float, float]
    mask: Sequence[Line] = ()
    measured: Sequence[Line] = ()

    @classmethod
    def from_plane(cls, plane: ObjectPlane, measured: Sequence[Line] = ()) -> "ReviewPicture":
        """Return the picture of a plane of the image, with the outlines of masks."""
        return cls(plane.name, plane.image, plane.pixel_nm, outline_mask(plane.mask), measured)


@dataclass(frozen=True)
class ReviewObject:
    """An object to review.

    Parameters
    ----------
    object_id, position_nm
        Id and world position, (z, y, x), as in the table.
    size_nm
        The measurement by which objects are filtered and sorted, nan where there is none.
    lines
        Text lines: measurements with units.
    flags, notes
        Names.
    pictures
        In their order on the page.
    """

    object_id: int
    position_nm: NmZYX
    size_nm: float
    lines: Sequence[str]
    flags: Sequence[str] = ()
    notes: Sequence[str] = ()
    pictures: Sequence[ReviewPicture] = ()


@dataclass(frozen=True)
class ReviewPage:
    """Texts of a page.

    Parameters
    ----------
    title, summary
        Heading, and what is beside it.
    size_name
        Name of `ReviewObject.size_nm`, with its unit.
    measured
        What the measured lines are.
    command, file_name
        Command that uses the decisions, and the name of their file.
    words
        Flags and notes and what they mean.
    overridable
        Flags that do not count where a person accepts the object.
    """

    title: str
    summary: str
    size_name: str
    measured: str
    command: str
    file_name: str
    words: Mapping[str, str] = field(default_factory=dict)
    overridable: Sequence[str] = ()


def format_review_page(page: ReviewPage, objects: Iterable[ReviewObject], review: Review) -> bytes:
    """Return the page as HTML, with all images in it.

    Parameters
    ----------
    page
        Its texts.
    objects
        In the order of the rows of `review`.
    review
        The decisions with which the page starts.
    """
    entries = [_describe_object(one) for one in objects]
    decisions = [[row, one.decision, one.comment] for row, one in sorted(review.by_row.items())]
    data = {
        "key": _hash([[entry["id"], entry["p"]] for entry in entries]),
        "base": _hash(decisions),
        "file_name": page.file_name,
        "pixels_per_nm": PIXELS_PER_NM,
        "words": dict(page.words),
        "overridable": list(page.overridable),
        "objects": entries,
        "decisions": decisions,
        "unmatched": [_describe_decision(one) for one in review.unmatched],
    }
    environment = Environment(loader=PackageLoader("asem.report"), autoescape=True)
    html = environment.get_template("review.html").render(**vars(page), data=data)
    return html.encode()


def outline_mask(mask: npt.NDArray[np.bool_]) -> list[Line]:
    """Return the outlines of a mask, (m, 2) each, row and column.

    Examples
    --------
    >>> (outline,) = outline_mask(np.pad(np.ones((2, 2), bool), 1))
    >>> outline.min(), outline.max()
    (np.float64(0.5), np.float64(2.5))
    """
    contours = find_contours(mask.astype(np.float32), 0.5)  # type: ignore[no-untyped-call]
    return [
        approximate_polygon(contour, TOLERANCE_PIXELS)  # type: ignore[no-untyped-call]
        for contour in contours
    ]


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _describe_object(one: ReviewObject) -> dict[str, Any]:
    return {
        "id": str(one.object_id),
        "p": _round(one.position_nm),
        "size": one.size_nm if math.isfinite(one.size_nm) else None,
        "lines": list(one.lines),
        "flags": list(one.flags),
        "notes": list(one.notes),
        "pictures": [_describe_picture(picture) for picture in one.pictures],
    }


def _describe_decision(one: Decision) -> dict[str, Any]:
    return {
        "id": str(one.object_id),
        "decision": one.decision,
        "p": _round(one.position_nm),
        "comment": one.comment,
    }


def _round(position_nm: NmZYX) -> list[float]:
    return [round(value, 2) for value in position_nm]


def _describe_picture(picture: ReviewPicture) -> dict[str, Any]:
    lines = [line for line in picture.measured if len(line) > 1]
    dots = [line for line in picture.measured if len(line) == 1]
    rows, columns = picture.image.shape
    content = imagecodecs.jpeg8_encode(picture.image, level=JPEG_QUALITY)
    return {
        "title": picture.title,
        "image": "data:image/jpeg;base64," + base64.b64encode(content).decode(),
        "rows": rows,
        "columns": columns,
        "pixel": list(picture.pixel_nm),
        "mask": _format_path(picture.mask),
        "measured": _format_path(lines),
        "dots": _format_path(dots),
    }


def _format_path(lines: Sequence[Line]) -> str:
    """Return lines as the path of an SVG; a line of one point has the length 0."""
    parts = []
    for line in lines:
        points = [f"{column + 0.5:.1f} {row + 0.5:.1f}" for row, column in line.tolist()]
        parts.append(f"M{'L'.join(points)}" if len(points) > 1 else f"M{points[0]}h0")
    return "".join(parts)
