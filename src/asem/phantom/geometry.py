"""Where things lie in a synthetic cell: bent tubes and balls, in nm."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asem.config import Nm3

Points = npt.NDArray[np.float64]
"""Shape (n, 3), nm along (z, y, x)."""


@dataclass(frozen=True)
class Tube:
    """A bent tube with round ends: what mitochondria look like.

    Parameters
    ----------
    spine
        Points of its middle line, in order.
    radius_nm
        From the middle line to the outer membrane.
    """

    spine: Points
    radius_nm: float


@dataclass(frozen=True)
class Ball:
    """A sphere: vesicles (bright inside) and lysosomes (dark inside).

    Parameters
    ----------
    centre
        nm along (z, y, x).
    radius_nm
        To its membrane.
    dark
        Whether it is filled with dark matter.
    """

    centre: Points
    radius_nm: float
    dark: bool


@dataclass(frozen=True)
class Cell:
    """All that is in a piece of cytoplasm.

    Parameters
    ----------
    extent_nm
        The piece, from (0, 0, 0).
    mitochondria, balls
        They do not touch one another.
    """

    extent_nm: Nm3
    mitochondria: tuple[Tube, ...]
    balls: tuple[Ball, ...]


def draw_cell(extent_nm: Nm3, rng: np.random.Generator) -> Cell:
    """Draw a cell: per cubic micrometre about two mitochondria, four vesicles, two lysosomes.

    Parameters
    ----------
    extent_nm
        Size of the piece along (z, y, x).
    rng
        Where chance comes from.
    """
    extent = np.array(extent_nm)
    volume_um3 = float(np.prod(extent / 1000))
    tubes: list[Tube] = []
    taken: list[tuple[Points, float]] = []
    wanted = max(2, round(2.2 * volume_um3))
    for _ in range(60 * wanted):
        tube = _draw_tube(extent, rng)
        if len(tubes) < wanted and _clear(tube.spine, tube.radius_nm, taken):
            tubes.append(tube)
            taken.append((tube.spine, tube.radius_nm))
    balls: list[Ball] = []
    for dark, number in ((True, round(2 * volume_um3)), (False, round(4 * volume_um3))):
        for _ in range(20 * number):
            ball = Ball(
                rng.uniform(0, extent), rng.uniform(*((60, 120) if dark else (30, 70))), dark
            )
            kind = sum(other.dark == dark for other in balls)
            if kind < number and _clear(ball.centre[None], ball.radius_nm, taken):
                balls.append(ball)
                taken.append((ball.centre[None], ball.radius_nm))
    return Cell(extent_nm, tuple(tubes), tuple(balls))


def _draw_tube(extent: Points, rng: np.random.Generator) -> Tube:
    """Walk from a random place, turning a little at every step."""
    step_nm = 40.0
    direction = rng.normal(size=3)
    points = [rng.uniform(0, extent)]
    for _ in range(int(rng.integers(8, 32))):
        direction = direction / np.linalg.norm(direction) + rng.normal(scale=0.16, size=3)
        points.append(points[-1] + step_nm * direction / np.linalg.norm(direction))
    return Tube(np.array(points), float(rng.uniform(110, 200)))


def _clear(points: Points, radius_nm: float, taken: list[tuple[Points, float]]) -> bool:
    """Whether a body keeps 60 nm from all that is there."""
    for others, other_radius in taken:
        apart = np.linalg.norm(points[:, None] - others[None], axis=2).min()
        if apart < radius_nm + other_radius + 60:
            return False
    return True
