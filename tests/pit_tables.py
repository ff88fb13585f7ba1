"""Tables of pits and vesicles with the sizes that the paper gives, and drawn pictures of them.

A pit is the lower part of an ellipse, cut off by a neck that leads to a plane::

    ______    ______   plane, depth 0
          |  |         neck
         (    )        ellipse
          (__)         height
"""

from itertools import pairwise

import numpy as np
import pandas as pd

from asem.measure.pits.picture import PICTURE_REACH_NM, PICTURE_STEP_NM, PitPicture
from asem.measure.pits.table import PIT_COLUMNS

NUMBERS = [
    name
    for name in PIT_COLUMNS
    if name.endswith(("_nm", "_deg")) or name in ("eccentricity", "plane_index")
]
KINDS = {
    "open": ("pit", "endocytic", True),
    "deep": ("pit", "endocytic", True),
    "caveola": ("pit", "endocytic", False),
    "vesicle": ("vesicle", "endocytic", True),
    "secretory": ("pit", "secretory", True),
    "inner": ("vesicle", "secretory", True),
    "other": ("vesicle", "secretory", False),
}
"""Kind, location and coat."""
SIZES = {
    "open": (52, 100, 85),
    "deep": (115, 102, 24),
    "caveola": (61, 81, 30),
    "vesicle": (np.nan, 96, np.nan),
    "secretory": (85, 76, 28),
    "inner": (np.nan, 72, np.nan),
    "other": (np.nan, 50, np.nan),
}
"""Mean height, width and neck, nm."""


def make_table(rng, **counts):
    """Return a table with numbers of objects by the names of `KINDS`, none of them flagged."""
    names = [name for name, count in counts.items() for _ in range(count)]
    n = len(names)
    sizes = np.array([SIZES[name] for name in names], float).reshape(n, 3)
    sizes = sizes * rng.normal(1, [0.1, 0.08, 0.2], (n, 3)).clip(0.5)
    frame = pd.DataFrame({name: np.zeros(n) for name in NUMBERS})
    frame["object_id"] = np.arange(1, n + 1)
    for k, name in enumerate(("kind", "location", "coated")):
        frame[name] = [KINDS[one][k] for one in names]
    for k, name in enumerate(("height_nm", "width_nm", "neck_nm")):
        frame[name] = frame[f"view_{name}"] = sizes[:, k]
        frame[name.replace("_nm", "_se_nm")] = np.where(np.isnan(sizes[:, k]), np.nan, 3.0)
    frame["eccentricity"] = 1 + np.abs(rng.normal(0.12, 0.1, n))
    frame["minor_nm"] = frame["width_nm"] / np.sqrt(frame["eccentricity"])
    frame["major_nm"] = frame["minor_nm"] * frame["eccentricity"]
    frame["angle_to_membrane_deg"] = rng.uniform(0, 90, n)
    frame["plane_axis"] = "z"
    frame["flags"] = frame["notes"] = ""
    return frame.astype({"coated": bool, "object_id": int, "plane_index": int})[list(PIT_COLUMNS)]


def draw_picture(row, rng=None):
    """Return the picture of a row of a table: a dark outline, exactly of its lengths."""
    lines = {}
    if row["kind"] == "vesicle":
        angle = np.linspace(0, 2 * np.pi, 181)
        half = row["width_nm"] / 2
        outline = half * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        lines["width"] = np.array([[-half, 0.0], [half, 0.0]])
        dark = outline
    else:
        height, width, neck = (row[f"{name}_nm"] for name in ("height", "width", "neck"))
        neck = min(neck, 0.98 * width) if np.isfinite(neck) else 0.9 * width
        half = width / 2
        middle = height / 2
        below = height - middle
        cut = middle - below * np.sqrt(1 - (neck / width) ** 2)
        turn = np.arcsin(neck / width)
        angle = np.linspace(turn, 2 * np.pi - turn, 181)
        curve = np.stack([-half * np.sin(angle), middle - below * np.cos(angle)], axis=1)
        ends = np.array([[-neck / 2, 0.0]]), np.array([[neck / 2, 0.0]])
        outline = np.concatenate([ends[0], curve, ends[1]]) - (0, middle)
        far = np.array([[-300.0, 0]]), np.array([[300.0, 0]])
        dark = np.concatenate([far[0] - (0, middle), outline, far[1] - (0, middle)])
        lines["plane"] = np.array([[-130.0, -middle], [130.0, -middle]])
        lines["height"] = np.array([[0.0, -middle], [0.0, height - middle]])
        lines["width"] = np.array([[-half, 0.0], [half, 0.0]])
        lines["neck"] = np.array([[-neck / 2, cut - middle], [neck / 2, cut - middle]])
    reach = round(PICTURE_REACH_NM / PICTURE_STEP_NM)
    at = PICTURE_STEP_NM * np.arange(-reach, reach + 1)
    distance = distance_to(dark, np.stack(np.meshgrid(at, at), axis=-1))
    view = 150 - (90 if row["coated"] else 60) * np.exp(-((distance / 9) ** 2))
    if rng is not None:
        view = view + rng.normal(0, 8, view.shape)
    return PitPicture(view.astype(np.float32), outline, lines)


def distance_to(line, points):
    """Return the distance of points, (..., 2), to a polygon line, (m, 2)."""
    best = np.full(points.shape[:-1], np.inf)
    for start, end in pairwise(line):
        along = end - start
        length = max(along @ along, 1e-9)
        part = np.clip((points - start) @ along / length, 0, 1)
        to_line = np.linalg.norm(points - start - part[..., None] * along, axis=-1)
        best = np.minimum(best, to_line)
    return best
