"""Random geometry of a synthetic cell in nm: mitochondria, vesicles and lysosomes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.config import NmZYX

Points = npt.NDArray[np.float64]
"""Shape (n, 3), nm along (z, y, x)."""


@dataclass(frozen=True)
class Tube:
    """A bent tube with round ends: a mitochondrion.

    Parameters
    ----------
    centreline
        Points along its centreline, in order.
    radius_nm
        From the centreline to the outer membrane.
    """

    centreline: Points
    radius_nm: float


@dataclass(frozen=True)
class Sphere:
    """A sphere: a vesicle (bright inside) or a lysosome (dark inside).

    Parameters
    ----------
    centre
        nm along (z, y, x).
    radius_nm
        To its membrane.
    electron_dense
        Whether its lumen is dark.
    """

    centre: Points
    radius_nm: float
    electron_dense: bool


@dataclass(frozen=True)
class CellGeometry:
    """The organelles in a box of cytoplasm.

    Parameters
    ----------
    extent_nm
        Size of the box, which starts at (0, 0, 0).
    mitochondria, spheres
        Organelles that do not touch one another.
    """

    extent_nm: NmZYX
    mitochondria: tuple[Tube, ...]
    spheres: tuple[Sphere, ...]


def generate_geometry(extent_nm: NmZYX, rng: np.random.Generator) -> CellGeometry:
    """Generate a cell: per cubic micrometre about two mitochondria, four vesicles, two lysosomes.

    Parameters
    ----------
    extent_nm
        Size of the box along (z, y, x).
    rng
        Random generator.
    """
    extent = np.array(extent_nm)
    volume_um3 = float(np.prod(extent / 1000))
    tubes: list[Tube] = []
    placed: list[tuple[Points, float]] = []
    tube_count = max(2, round(2.2 * volume_um3))
    for _ in range(60 * tube_count):
        tube = _random_tube(extent, rng)
        if len(tubes) < tube_count and _is_clear(tube.centreline, tube.radius_nm, placed):
            tubes.append(tube)
            placed.append((tube.centreline, tube.radius_nm))
    spheres: list[Sphere] = []
    for dense, count in ((True, round(2 * volume_um3)), (False, round(4 * volume_um3))):
        for _ in range(20 * count):
            sphere = Sphere(
                rng.uniform(0, extent), rng.uniform(*((60, 120) if dense else (30, 70))), dense
            )
            same_kind = sum(other.electron_dense == dense for other in spheres)
            if same_kind < count and _is_clear(sphere.centre[None], sphere.radius_nm, placed):
                spheres.append(sphere)
                placed.append((sphere.centre[None], sphere.radius_nm))
    return CellGeometry(extent_nm, tuple(tubes), tuple(spheres))


def _random_tube(extent: Points, rng: np.random.Generator) -> Tube:
    """Return a tube along a persistent random walk from a random position."""
    step_nm = 40.0
    direction = rng.normal(size=3)
    points = [rng.uniform(0, extent)]
    for _ in range(int(rng.integers(8, 32))):
        direction = direction / np.linalg.norm(direction) + rng.normal(scale=0.16, size=3)
        points.append(points[-1] + step_nm * direction / np.linalg.norm(direction))
    return Tube(np.array(points), float(rng.uniform(110, 200)))


def _is_clear(points: Points, radius_nm: float, placed: list[tuple[Points, float]]) -> bool:
    """Whether a body is at least 60 nm away from all bodies that are `placed`."""
    for others, other_radius in placed:
        distance = np.linalg.norm(points[:, None] - others[None], axis=2).min()
        if distance < radius_nm + other_radius + 60:
            return False
    return True
