"""Golgi stacks, mitochondria and round organelles of a synthetic cell."""

import numpy as np

from asem.phantom.cell_geometry import Golgi, Points, Sheet, Sphere, Tube
from asem.phantom.free_space import FreeSpace, perpendicular_axes, random_direction, unit

GAP_NM = 30.0
"""Free space around an organelle."""
MITOCHONDRION_STEP_NM = 40.0
"""Length of a segment of the axis of a mitochondrion."""
MAX_FAILURES = 300
"""Attempts to place a mitochondrion that may fail."""


def generate_mitochondria(
    volume_nm3: float, space: FreeSpace, rng: np.random.Generator
) -> tuple[Tube, ...]:
    """Place bent tubes of 90 to 190 nm radius until they have a volume, or no space is left."""
    placed: list[Tube] = []
    failures = 0
    while volume_nm3 > 0 and failures < MAX_FAILURES:
        radius = float(rng.uniform(90, 190))
        start = space.sample(radius + GAP_NM, rng)
        points = None if start is None else _walk_tube(start, radius, space, rng)
        if points is None:
            failures += 1
            continue
        placed.append(Tube(points, radius))
        space.occupy(points, radius)
        length = (len(points) - 1) * MITOCHONDRION_STEP_NM + 4 / 3 * radius
        volume_nm3 -= np.pi * radius**2 * length
    return tuple(placed)


def _walk_tube(
    start: Points, radius_nm: float, space: FreeSpace, rng: np.random.Generator
) -> Points | None:
    """Return the axis of a bent tube that begins in free space; None where it has no space."""
    points, direction = [start], random_direction(rng)
    for _ in range(int(rng.integers(6, 56))):
        direction = unit(direction + rng.normal(scale=0.16, size=3))
        position = points[-1] + MITOCHONDRION_STEP_NM * direction
        if space.at(position)[0] < radius_nm + GAP_NM:
            break
        points.append(position)
    return np.array(points) if len(points) > 3 else None


def generate_golgi(
    count: int, space: FreeSpace, rng: np.random.Generator
) -> tuple[tuple[Golgi, ...], tuple[Sphere, ...]]:
    """Place stacks of 3 to 6 fenestrated cisternae; return them and the vesicles around them."""
    stacks: list[Golgi] = []
    vesicles: list[Sphere] = []
    for _ in range(8 * count):
        if len(stacks) == count:
            break
        number = int(rng.integers(3, 7))
        radius = float(rng.uniform(220, 420))
        centre = space.sample(radius + 60, rng, attempts=4000)
        if centre is None:
            continue
        normal, bend = random_direction(rng), float(rng.uniform(600, 1400))
        spacing = float(rng.uniform(44, 54))
        cisternae = [
            _cisterna(centre + (n - (number - 1) / 2) * spacing * normal, normal, bend, radius, rng)
            for n in range(number)
        ]
        stacks.append(Golgi(tuple(cisternae)))
        first, second = perpendicular_axes(normal)
        rim = np.arange(0, 2 * np.pi, 0.25)
        ring = np.cos(rim)[:, None] * first + np.sin(rim)[:, None] * second
        for share in (0.35, 0.7, 1.0):
            space.occupy(centre + share * radius * ring, spacing * number / 2 + 15)
        space.occupy(centre, spacing * number / 2 + 15)
        for _ in range(14):
            sphere = Sphere(
                centre + unit(rng.normal(size=3)) * (radius + rng.uniform(60, 160)),
                float(rng.uniform(22, 32)),
            )
            if space.at(sphere.centre)[0] > sphere.radius_nm + 8:
                vesicles.append(sphere)
                space.occupy(sphere.centre, sphere.radius_nm)
    return tuple(stacks), tuple(vesicles)


def _cisterna(
    centre: Points, normal: Points, bend: float, radius: float, rng: np.random.Generator
) -> Sheet:
    """Return a cisterna with holes, most of them near its rim."""
    radius *= float(rng.uniform(0.8, 1.0))
    first, second = perpendicular_axes(normal)
    holes: list[list[float]] = []
    for _ in range(12):
        angle, share = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.8) ** 0.5
        at = share * radius * np.array([np.cos(angle), np.sin(angle)])
        place = centre + at[0] * first + at[1] * second - (at @ at) / (2 * bend) * normal
        hole = [*place, float(rng.uniform(15, 38))]
        apart = [np.linalg.norm(np.subtract(hole[:3], h[:3])) - h[3] - hole[3] for h in holes]
        if min(apart, default=np.inf) > 40:
            holes.append(hole)
    return Sheet(
        centre, normal, bend, radius, float(rng.uniform(8, 12)), np.array(holes).reshape(-1, 4)
    )


def generate_spheres(
    count: int,
    radii_nm: tuple[float, float],
    space: FreeSpace,
    rng: np.random.Generator,
    *,
    gap_nm: float = GAP_NM,
) -> tuple[Sphere, ...]:
    """Place spheres of random radii; fewer than `count` where they do not fit."""
    placed: list[Sphere] = []
    for _ in range(4 * count):
        if len(placed) == count:
            break
        radius = float(rng.uniform(*radii_nm))
        centre = space.sample(radius + gap_nm, rng)
        if centre is not None:
            placed.append(Sphere(centre, radius))
            space.occupy(centre, radius)
    return tuple(placed)
