"""Coated pits, coated vesicles, caveolae and secretory pits of a synthetic cell."""

from collections.abc import Sequence

import numpy as np

from asem.config import NmZYX
from asem.phantom.cell_geometry import Pit, Points, Sphere
from asem.phantom.free_space import FreeSpace, random_direction
from asem.phantom.nuclear_envelope import sample_surface
from asem.phantom.smooth_surface import SmoothSurface

MIN_DISTANCE_NM = 300.0
"""Between the centres of two pits."""
BORDER_NM = 150.0
"""Between a pit and the border of the box, so that it is complete."""
COAT_NM = 24.0
"""Thickness of the coat, from the middle of the membrane."""
NEAR_MEMBRANE_NM = 400.0
"""Coated vesicles up to this distance from the plasma membrane are endocytic (paper)."""


def generate_pits(
    cell: SmoothSurface,
    extent_nm: NmZYX,
    counts: tuple[int, int],
    space: FreeSpace,
    rng: np.random.Generator,
) -> tuple[Pit, ...]:
    """Place coated pits at all stages, and caveolae, on the plasma membrane.

    Parameters
    ----------
    cell
        Plasma membrane.
    extent_nm
        Size of the box; all pits are complete.
    counts
        Numbers of coated pits and of caveolae; fewer where they do not fit.
    space
        Free space, which is updated.
    rng
        Random generator.
    """
    pits: list[Pit] = []
    placed = np.zeros((0, 3))
    is_coated = [True] * counts[0] + [False] * counts[1]
    points, normals = sample_surface(cell, extent_nm, rng, attempts=80_000)
    inner = np.array(extent_nm) - BORDER_NM
    fits = np.all((points > BORDER_NM) & (points < inner), axis=1)
    fits &= space.at(points - 220 * normals) > 100
    for position, outwards in zip(points[fits], normals[fits], strict=True):
        if len(pits) == len(is_coated):
            break
        if np.linalg.norm(placed - position, axis=1).min(initial=np.inf) < MIN_DISTANCE_NM:
            continue
        make_pit = _coated_pit if is_coated[len(pits)] else _caveola
        pits.append(make_pit(position, -outwards, rng))
        placed = np.vstack([placed, position])
        _occupy(pits[-1], space)
    return tuple(pits)


def _coated_pit(
    position: Points, inwards: Points, rng: np.random.Generator, endosome: int = -1
) -> Pit:
    """Return a pit of a random stage: shallow and open, closing, or deep with a neck.

    Paper, Analysis of clathrin-coated pits: shallow pits about 50 nm deep have necks above 40 nm,
    deep ones (100 to 130 nm) have necks of 10 to 40 nm.
    """
    stage = rng.random()
    half_width = float(rng.uniform(42, 58))
    if stage < 0.35:
        height, half_height, neck = rng.uniform(42, 62), half_width * rng.uniform(0.9, 1.1), 0.0
    elif stage < 0.6:
        half_height = half_width * rng.uniform(0.85, 1.2)
        height, neck = half_height * rng.uniform(1.35, 1.65), 0.0
    else:
        half_height = half_width * rng.uniform(0.85, 1.05)
        height, neck = rng.uniform(2.1 * half_height, 130), rng.uniform(8, 18)
    return Pit(
        position,
        inwards,
        float(height),
        half_width,
        float(half_height),
        float(neck),
        True,
        endosome,
    )


def _caveola(position: Points, inwards: Points, rng: np.random.Generator) -> Pit:
    """Return a flask about 61 nm deep and 81 nm wide, without a coat (paper)."""
    half_width = float(rng.normal(43, 2))
    half_height = float(rng.normal(23, 1.5))
    return Pit(
        position,
        inwards,
        float(rng.normal(61, 3)),
        half_width,
        half_height,
        float(rng.uniform(12, 18)),
        False,
    )


def _occupy(pit: Pit, space: FreeSpace) -> None:
    radius = max(pit.half_width_nm, pit.half_height_nm) + COAT_NM
    centre = pit.position + (pit.height_nm - pit.half_height_nm) * pit.normal
    space.occupy(np.array([centre, 0.5 * (centre + pit.position)]), radius)


def generate_secretory_pits(
    endosomes: Sequence[Sphere], space: FreeSpace, rng: np.random.Generator
) -> tuple[Pit, ...]:
    """Place a coated pit on each endosome that has space for it."""
    pits: list[Pit] = []
    for number, endosome in enumerate(endosomes):
        for _ in range(10):
            outwards = random_direction(rng)
            position = endosome.centre + endosome.radius_nm * outwards
            pit = _coated_pit(position, outwards, rng, number)
            reach = pit.height_nm + COAT_NM + 10
            tips = position + np.array([[0.6], [1.0]]) * reach * outwards
            if space.at(position + (reach + 60) * outwards)[0] > 40 and np.all(
                space.at(tips) > -20
            ):
                pits.append(pit)
                _occupy(pit, space)
                break
    return tuple(pits)


def generate_coated_vesicles(
    cell: SmoothSurface,
    counts: tuple[int, int],
    space: FreeSpace,
    rng: np.random.Generator,
) -> tuple[Sphere, ...]:
    """Place coated vesicles within 400 nm of the plasma membrane, and others beyond.

    Parameters
    ----------
    cell
        Plasma membrane.
    counts
        Numbers within and beyond; fewer where they do not fit.
    space
        Free space, which is updated.
    rng
        Random generator.
    """
    placed: list[Sphere] = []
    for count, near in zip(counts, (True, False), strict=True):
        found = 0
        for _ in range(60 * count):
            if found == count:
                break
            radius = float(rng.uniform(34, 50))
            centre = space.sample(radius + COAT_NM + 30, rng)
            if centre is None:
                continue
            distance = cell.depth(centre) - radius
            # A margin, so that the two kinds differ however the distance is measured.
            if distance < NEAR_MEMBRANE_NM - 60 if near else distance > NEAR_MEMBRANE_NM + 60:
                placed.append(Sphere(centre, radius))
                space.occupy(centre, radius + COAT_NM)
                found += 1
    return tuple(placed)
