"""Errors of the lengths of pits and vesicles in analytic images, by shape and by image quality.

```console
.venv/bin/python benchmarks/pit_renders.py               # 24 images of each shape
.venv/bin/python benchmarks/pit_renders.py --images 60 "deep omega" caveola
.venv/bin/python benchmarks/pit_renders.py --worst 20    # and the largest errors, to reproduce
```

Shapes are those of `tests/pits.py` in random poses. Each image draws its voxels (5 nm, or
5.2 x 4 x 4 nm), blur (3 to 5 nm), noise (4 to 25 of a contrast of 80), membranes (8 to 10 nm, box
or Gaussian), ribosomes and coat (none, or 0.35 to 0.55 of the contrast); caveolae have no coat.
Image n of a shape is always the same.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asem.measure.frame import FloatArray
from asem.measure.pits.coat import OFFSETS_NM, coat_signal, is_coated
from asem.measure.pits.half_plane import Image
from asem.measure.pits.outline import Line, normals
from asem.measure.pits.pose import ANGLES, sample_profiles
from asem.measure.pits.shape import (
    PitShape,
    leads_to_membrane,
    line_darkness,
    mean_profile,
    measure_pit,
    measure_vesicle,
)

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from pits import (
    HalfPlane,
    Pit,
    Rendering,
    Stain,
    Vesicle,
    cap,
    caveola,
    locate,
    random_vectors,
    render_pit,
    render_vesicle,
    sphere_on_stalk,
)

WITHIN_NM = 6.0
Rng = np.random.Generator


def _ellipsoidal(rng: Rng, ratio: tuple[float, float]) -> Pit:
    half_width = rng.uniform(40, 52)
    half_height = half_width * rng.uniform(*ratio)
    height = 2 * half_height + rng.uniform(5, 15)
    return Pit(half_width, half_height, height, rng.uniform(9, 20), rng.uniform(5, 10))


def _curved(rng: Rng) -> Pit:
    half_width = rng.uniform(40, 52)
    radius = rng.uniform(300, 2000) * rng.choice([-1, 1])
    return Pit(half_width, half_width, rng.uniform(0.8, 1.8) * half_width, 0.0, 8.0, radius)


PITS: dict[str, Callable[[Rng], Pit]] = {
    "sphere on a stalk": lambda rng: sphere_on_stalk(
        rng.uniform(35, 52), rng.uniform(8, 20), rng.uniform(8, 35), rng.uniform(4, 10)
    ),
    "open cap, sharp": lambda rng: cap(rng.uniform(45, 65), rng.uniform(35, 45)),
    "open cap, rounded": lambda rng: cap(
        rng.uniform(45, 65), rng.uniform(35, 45), rng.uniform(6, 15)
    ),
    "omega": lambda rng: cap(rng.uniform(42, 55), rng.uniform(55, 80), rng.uniform(5, 12)),
    "deep omega": lambda rng: cap(rng.uniform(42, 55), rng.uniform(80, 100), rng.uniform(5, 12)),
    "prolate": lambda rng: _ellipsoidal(rng, (1.1, 1.3)),
    "oblate": lambda rng: _ellipsoidal(rng, (0.7, 0.9)),
    "caveola": caveola,
    "curved membrane": _curved,
}


def _vesicle(rng: Rng, *gaps: float) -> Vesicle:
    axes = rng.uniform(32, 45) * rng.uniform([1.0, 1.0, 1.0], [1.1, 1.25, 1.4])
    return Vesicle(axes, random_vectors(rng), rng.choice(gaps))


VESICLES: dict[str, Callable[[Rng], Vesicle]] = {
    "free vesicle": lambda rng: _vesicle(rng, np.inf),
    "vesicle 40 to 80 nm below": lambda rng: _vesicle(rng, 40.0, 60.0, 80.0),
    "vesicle 20 to 30 nm below": lambda rng: _vesicle(rng, 20.0, 25.0, 30.0),
}


@dataclass(frozen=True)
class Outcome:
    """One image: what is true and what was measured.

    `errors_nm` are those of height, width and neck of a pit; of the three axes of a vesicle.
    """

    shape: str
    number: int
    look: Stain
    voxel_size: tuple[float, float, float]
    truth: str
    line: float
    is_kind_right: bool
    errors_nm: FloatArray
    eccentricity_error: float
    is_coat_right: bool
    signal: float
    tilt_deg: float


def draw_look(rng: Rng, coat: float | None = None) -> tuple[Stain, tuple[float, float, float]]:
    """Draw stain and voxel size."""
    look = Stain(
        thickness_nm=rng.uniform(8, 10),
        gaussian=bool(rng.random() < 0.5),
        coat=float(rng.choice([0.0, rng.uniform(0.35, 0.55)])) if coat is None else coat,
        ribosomes=float(rng.choice([0.0, 0.5])),
        blur_nm=rng.uniform(3, 5),
        noise=rng.uniform(4, 25),
    )
    return look, (5.0, 5.0, 5.0) if rng.random() < 0.5 else (5.2, 4.0, 4.0)


def measure_image(shape: str, number: int) -> Outcome:
    """Render and measure image `number` of a shape."""
    rng = np.random.default_rng([[*PITS, *VESICLES].index(shape), number])
    look, voxel_size = draw_look(rng, 0.0 if shape == "caveola" else None)
    if shape in VESICLES:
        vesicle = VESICLES[shape](rng)
        image = render_vesicle(rng, vesicle, look=look, voxel_size=voxel_size)
        return measure_rendered_vesicle(image, vesicle, look, shape, number)
    half_plane = HalfPlane(PITS[shape](rng))
    image = render_pit(rng, half_plane, look=look, voxel_size=voxel_size)
    return measure_rendered_pit(image, half_plane, look, shape, number)


def measure_rendered_pit(
    rendering: Rendering, half_plane: HalfPlane, look: Stain, shape: str, number: int
) -> Outcome:
    """Measure a pit; lengths even where it is taken for a vesicle."""
    truth = half_plane.lengths(look)
    bulb, image, pose = locate(rendering)
    line = line_darkness(image, pose)
    pit = measure_pit(image, pose, bulb)
    errors, eccentricity, signal, coated = np.full(3, np.nan), np.nan, np.nan, False
    if pit is not None:
        found = pit.lengths
        errors = np.array(
            [
                found.height_nm - truth.height_nm,
                found.width_nm - truth.width_nm,
                found.neck_nm - truth.neck_nm,
            ]
        )
        ratio = found.across_nm / found.along_nm
        eccentricity = max(ratio, 1 / ratio) - truth.eccentricity
        signal = pit_signal(image, pit)
        coated = is_coated(signal, found.height_nm, found.width_nm, found.neck_nm)
    return Outcome(
        shape,
        number,
        look,
        rendering.voxel_size,
        f"{half_plane.pit} {truth}",
        line,
        leads_to_membrane(image, pose) and pit is not None,
        errors,
        eccentricity,
        coated == (look.coat > 0),
        signal,
        float(np.rad2deg(np.arccos(np.clip(pose.axis.normal @ rendering.outward, -1, 1)))),
    )


def pit_signal(image: Image, pit: PitShape) -> float:
    """Return the coat signal of the lower half of a pit."""
    path, lengths = pit.path, pit.lengths
    low = pit.membrane.depth(path.rho_nm, path.t_nm) > lengths.height_nm / 2
    half = Line(path.rho_nm[low], path.t_nm[low], 0.0)
    n = normals(half)
    outward = np.sign(n[:, 0] * half.rho_nm + n[:, 1] * (half.t_nm - lengths.centre_t_nm))
    profiles = sample_profiles(image, pit.axis, half, n * outward[:, None], OFFSETS_NM, ANGLES)
    return coat_signal(mean_profile(profiles))


def measure_rendered_vesicle(
    rendering: Rendering, vesicle: Vesicle, look: Stain, shape: str, number: int
) -> Outcome:
    """Measure a vesicle; its axes even where it is taken for a pit."""
    bulb, image, pose = locate(rendering)
    line = line_darkness(image, pose)
    axes = measure_vesicle(image, bulb).ellipsoid.axes_nm
    shift = look.darkest_nm if look.coat else 0.0
    truth = 2 * (np.sort(vesicle.half_axes_nm)[::-1] + shift)
    return Outcome(
        shape,
        number,
        look,
        rendering.voxel_size,
        f"{vesicle} axes {truth.round(1)}",
        line,
        not leads_to_membrane(image, pose),
        axes - truth,
        float(axes[0] / axes[1] - truth[0] / truth[1]),
        True,
        np.nan,
        np.nan,
    )


def print_rows(name: str, outcomes: list[Outcome]) -> None:
    """Print one row of a table: numbers, and bias, median, SD and share within 6 nm of lengths."""
    if not outcomes:
        return
    errors = np.array([outcome.errors_nm for outcome in outcomes])
    known = np.isfinite(errors)
    cells = []
    for column in range(3):
        part = errors[known[:, column], column]
        within = np.mean(np.abs(errors[:, column]) <= WITHIN_NM)
        cells.append(
            f"{part.mean():+.1f} {np.median(np.abs(part)):.1f} {part.std():.1f} {within:.0%}"
        )
    ratio = np.nanmedian(np.abs([outcome.eccentricity_error for outcome in outcomes]))
    kind = sum(not outcome.is_kind_right for outcome in outcomes)
    coat = sum(not outcome.is_coat_right for outcome in outcomes)
    missing = int((~known).any(axis=1).sum())
    print(
        f"| {name} | {len(outcomes)} | {' | '.join(cells)} | {ratio:.3f} | {kind} | {coat} | "
        f"{missing} |",
        flush=True,
    )


def print_parts(outcomes: list[Outcome]) -> None:
    """Print rows by image quality, pits and vesicles apart."""
    for kind, shapes in (("pits", PITS), ("vesicles", VESICLES)):
        chosen = [outcome for outcome in outcomes if outcome.shape in shapes]
        parts: dict[str, Callable[[Outcome], bool]] = {
            "all": lambda _: True,
            "5 nm": lambda o: o.voxel_size[0] == 5,
            "5.2 x 4 x 4 nm": lambda o: o.voxel_size[0] != 5,
            "blur below 4 nm": lambda o: o.look.blur_nm < 4,
            "blur above 4 nm": lambda o: o.look.blur_nm >= 4,
            "noise below 14": lambda o: o.look.noise < 14,
            "noise above 14": lambda o: o.look.noise >= 14,
            "no coat": lambda o: o.look.coat == 0,
            "coat": lambda o: o.look.coat > 0,
            "no ribosomes": lambda o: o.look.ribosomes == 0,
            "ribosomes": lambda o: o.look.ribosomes > 0,
        }
        for name, of_part in parts.items():
            print_rows(f"{kind}, {name}", [outcome for outcome in chosen if of_part(outcome)])


def print_worst(outcomes: list[Outcome], count: int) -> None:
    """Print the images with wrong decisions and the largest errors."""

    def badness(outcome: Outcome) -> float:
        wrong = 100 * (not outcome.is_kind_right) + 50 * (not outcome.is_coat_right)
        return wrong + float(np.nan_to_num(np.abs(outcome.errors_nm), nan=200).max())

    for outcome in sorted(outcomes, key=badness, reverse=True)[:count]:
        print(
            f"{outcome.shape} {outcome.number}: errors {outcome.errors_nm.round(1)}, line "
            f"{outcome.line:.2f}, signal {outcome.signal:.2f}, kind right {outcome.is_kind_right}, "
            f"coat right {outcome.is_coat_right}, tilt {outcome.tilt_deg:.1f}\n"
            f"    {outcome.truth}\n    {outcome.look} {outcome.voxel_size}"
        )


def main() -> None:
    """Print a table by shape, then by image quality."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", help="names of shapes; all if none is given")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--worst", type=int, default=0, help="images to print")
    arguments = parser.parse_args()
    print("Errors: bias, median, SD, share within 6 nm; of vesicles those of their three axes.\n")
    print("| shape | n | height | width | neck | eccentricity | wrong kind | wrong coat | none |")
    print("|" + " --- |" * 9)
    start, outcomes = time.process_time(), []
    for shape in arguments.shapes or (*PITS, *VESICLES):
        found = [measure_image(shape, number) for number in range(arguments.images)]
        print_rows(shape, found)
        outcomes += found
    print_parts(outcomes)
    print_worst(outcomes, arguments.worst)
    print(f"{(time.process_time() - start) / len(outcomes):.1f} s of CPU time an image")


if __name__ == "__main__":
    main()
