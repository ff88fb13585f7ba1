"""Draw a plane of a volume for the page: grey values or colours as JPEG, masks as outlines."""

import base64
from collections.abc import Mapping, Sequence

import imagecodecs
import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from skimage.measure import approximate_polygon, find_contours

from asem.report.page.pictures import Axis, Outline, Picture

JPEG_QUALITY = 78
TOLERANCES_PIXELS = (0.3, 1.0, 2.0)
"""Largest errors of outlines: a larger one where the path would exceed `MAX_PATH`."""
MAX_PATH = 200_000
"""Characters of the outlines of a mask."""
COLOUR_SCALE = "inferno"
"""Colours of a probability; the legend in ``report.css`` has the same ones."""
SCALE_WEIGHT, OBJECT_WEIGHT = 0.65, 0.45
"""Weights of colours that cover grey values."""
Colour = tuple[int, int, int]
HUES: Sequence[Colour] = (
    (68, 119, 170), (238, 102, 119), (34, 136, 51), (204, 187, 68), (102, 204, 238),
    (170, 51, 119), (230, 140, 60),
)  # fmt: skip
"""Colours of objects, in turns by id."""
Grey = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def draw_plane(
    image: Grey,
    *,
    down: Axis,
    right: Axis,
    caption: str,
    alternative: str,
    masks: Mapping[str, Mask] | None = None,
    lines: Sequence[Outline] = (),
) -> Picture:
    """Return the picture of a plane.

    Parameters
    ----------
    image
        Grey values, (rows, columns), or colours, (rows, columns, 3).
    down, right
        The axes, from border to border of the picture.
    caption, alternative
        Texts of the picture.
    masks
        Masks whose outlines are drawn, by the name of the outline, (rows, columns) each.
    lines
        Further lines, above them.
    """
    outlines = [Outline(name, outline_path(mask)) for name, mask in (masks or {}).items()]
    return Picture(
        caption,
        alternative,
        encode_jpeg(image),
        (image.shape[0], image.shape[1]),
        (down.end_um - down.start_um, right.end_um - right.start_um),
        down,
        right,
        [outline for outline in (*outlines, *lines) if outline.path],
    )


def encode_jpeg(image: Grey) -> str:
    """Return an image as a data URL; equal images have equal URLs."""
    content = imagecodecs.jpeg8_encode(np.ascontiguousarray(image), level=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(content).decode()


def outline_path(mask: Mask) -> str:
    """Return the outlines of a mask as the path of an SVG, in pixels; parts at the border are open.

    Examples
    --------
    >>> outline_path(np.ones((3, 3), bool))
    ''
    """
    contours = find_contours(mask.astype(np.float32), 0.5)  # type: ignore[no-untyped-call]
    path = ""
    for tolerance in TOLERANCES_PIXELS:
        lines = (approximate_polygon(line, tolerance) for line in contours)  # type: ignore[no-untyped-call]
        path = "".join(map(_format_line, lines))
        if len(path) <= MAX_PATH:
            return path
    return path[: path.rfind("M", 0, MAX_PATH)]


def _format_line(line: npt.NDArray[np.float64]) -> str:
    points = (f"{column + 0.5:.1f} {row + 0.5:.1f}" for row, column in line.tolist())
    return "M" + "L".join(points)


def cover_with_probability(grey: Grey, probability: Grey) -> Grey:
    """Return grey values covered by the colours of a probability.

    Parameters
    ----------
    grey, probability
        (rows, columns); 255 is 1.

    Returns
    -------
    ndarray
        (rows, columns, 3).
    """
    colours = colormaps[COLOUR_SCALE](probability)[..., :3].astype(np.float32) * 255
    return _mix(grey, colours, np.full(grey.shape, SCALE_WEIGHT, np.float32))


def cover_with_objects(
    grey: Grey, ids: npt.NDArray[np.integer], hues: Sequence[Colour] = HUES
) -> Grey:
    """Return grey values with objects in colours, in turns by id; 0 is background.

    Parameters
    ----------
    grey, ids
        (rows, columns).
    hues
        The colours.

    Returns
    -------
    ndarray
        (rows, columns, 3).
    """
    colours = np.array(hues, np.float32)[(ids % len(hues)).astype(np.intp)]
    return _mix(grey, colours, np.where(ids != 0, OBJECT_WEIGHT, 0).astype(np.float32))


def _mix(grey: Grey, colours: npt.NDArray[np.float32], weight: npt.NDArray[np.float32]) -> Grey:
    mixed = grey[..., None] * (1 - weight[..., None]) + colours * weight[..., None]
    return np.rint(mixed).astype(np.uint8)
