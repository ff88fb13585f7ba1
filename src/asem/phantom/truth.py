"""Truth of a synthetic cell: a table row for each object."""

import numpy as np
import pandas as pd

from asem.phantom.cell_geometry import CellGeometry, Pit, Points, Sphere
from asem.phantom.nuclear_envelope import MASK_MARGIN_NM
from asem.phantom.pit_profile import measure_profile
from asem.phantom.pits import NEAR_MEMBRANE_NM

POSITION_COLUMNS = {
    f"{axis}_nm": f"world position of the centre, {axis}" for axis in ("z", "y", "x")
}
TRUTH_COLUMNS: dict[str, dict[str, str]] = {
    "pores": {
        "object_id": "id in labels/npc",
        **POSITION_COLUMNS,
        **{f"normal_{axis}": f"unit vector out of the nucleus, {axis}" for axis in ("z", "y", "x")},
        "diameter_nm": "diameter, to the middle of the membrane where it is innermost",
        "is_complete": "whether the pore and its mask are within the volume",
    },
    "coated": {
        "object_id": "id in labels/ccp, or labels/caveolae",
        "kind": "pit or vesicle",
        "location": "endocytic (plasma membrane, or within 400 nm of it) or secretory",
        "coated": "whether it has a clathrin coat; a pit without is a caveola",
        **POSITION_COLUMNS,
        "height_nm": "depth of a pit below the plane of the membrane, to its own membrane",
        "width_nm": "width of a pit at half of its height, or diameter of a vesicle",
        "neck_nm": "narrowest width of a pit between 8 nm below the plane and its widest place",
        "is_open": "whether nothing narrows below the plane",
        "eccentricity": "long axis / short axis of the bulb",
        "distance_to_membrane_nm": "from the bulb or vesicle to the plasma membrane, about; 0 for "
        "pits of it",
    },
    "mitochondria": {
        "object_id": "id in labels/mito",
        **POSITION_COLUMNS,
        "radius_nm": "radius of the tube",
        "length_nm": "length of its axis, without the round ends",
    },
    "golgi": {
        "object_id": "id in labels/golgi",
        **POSITION_COLUMNS,
        "cisternae": "number of cisternae",
    },
    "spheres": {
        "kind": "vesicle, lysosome or endosome",
        **POSITION_COLUMNS,
        "diameter_nm": "diameter, to the middle of the membrane",
    },
}
"""Descriptions of the columns of each table."""


def make_truth_tables(cell: CellGeometry) -> dict[str, pd.DataFrame]:
    """Return the tables by the names of `TRUTH_COLUMNS`; positions are those without drift."""
    rows = {
        "pores": [_pore_row(cell, number) for number in range(len(cell.pores))],
        "coated": _coated_rows(cell),
        "mitochondria": [
            [number, *tube.points.mean(axis=0), tube.radius_nm, _length(tube.points)]
            for number, tube in enumerate(cell.mitochondria, 1)
        ],
        "golgi": [
            [
                number,
                *np.mean([sheet.centre for sheet in stack.cisternae], axis=0),
                len(stack.cisternae),
            ]
            for number, stack in enumerate(cell.golgi, 1)
        ],
        "spheres": [
            [kind, *sphere.centre, 2 * sphere.radius_nm]
            for kind, spheres in (
                ("vesicle", cell.vesicles),
                ("lysosome", cell.lysosomes),
                ("endosome", cell.endosomes),
            )
            for sphere in spheres
        ],
    }
    return {
        name: pd.DataFrame(rows[name], columns=list(columns))
        for name, columns in TRUTH_COLUMNS.items()
    }


def _length(points: Points) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def _pore_row(cell: CellGeometry, index: int) -> list[object]:
    pore = cell.pores[index]
    reach = pore.radius_nm + MASK_MARGIN_NM + 10
    inside = np.all((pore.centre > reach) & (pore.centre < np.array(cell.extent_nm) - reach))
    return [index + 1, *pore.centre, *pore.normal, 2 * pore.radius_nm, bool(inside)]


def _coated_rows(cell: CellGeometry) -> list[list[object]]:
    first = 1 + len(cell.pits)
    return [_pit_row(cell, number, pit) for number, pit in enumerate(cell.pits, 1)] + [
        _vesicle_row(cell, number, vesicle)
        for number, vesicle in enumerate(cell.coated_vesicles, first)
    ]


def _pit_row(cell: CellGeometry, number: int, pit: Pit) -> list[object]:
    radius = cell.endosomes[pit.endosome].radius_nm if pit.endosome >= 0 else np.inf
    measures = measure_profile(pit, radius)
    centre = pit.position + (pit.height_nm - pit.half_height_nm) * pit.normal
    distance = 0.0
    if pit.endosome >= 0:
        distance = cell.cell.depth(centre) - pit.half_width_nm
    axes = sorted((pit.half_width_nm, pit.half_height_nm))
    return [
        number,
        "pit",
        "endocytic" if pit.endosome < 0 else "secretory",
        pit.coated,
        *centre,
        measures.height_nm,
        measures.width_nm,
        measures.neck_nm,
        measures.is_open,
        axes[1] / axes[0],
        distance,
    ]


def _vesicle_row(cell: CellGeometry, number: int, vesicle: Sphere) -> list[object]:
    distance = cell.cell.depth(vesicle.centre) - vesicle.radius_nm
    location = "endocytic" if distance <= NEAR_MEMBRANE_NM else "secretory"
    size = 2 * vesicle.radius_nm
    lengths = [np.nan, size, np.nan, False, 1.0, distance]
    return [number, "vesicle", location, True, *vesicle.centre, *lengths]
