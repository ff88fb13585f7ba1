"""Errors of the diameter of nuclear pores in analytic images: bias, scatter, calibration, flags.

```console
.venv/bin/python benchmarks/pore_renders.py          # all conditions, 8 pores, 24 images
.venv/bin/python benchmarks/pore_renders.py --pores 20 --images 100 default "blur 7 nm"
```

Each condition changes one or a few settings of `tests/pores.py`: a pore of 60 to 130 nm in a random
pose, voxels of 5 nm, lumen 30 nm, membranes 10 nm, blur 4 nm, noise 12 of a contrast of 80; the
start is off by up to 30 nm and 25 degrees. A pore is rendered once and measured with several draws
of noise. Calibration is the root mean square of (error - mean error) / standard error.
"""

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asem.measure.pores.diameter import PoreMeasurement, measure_pore

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from pores import Look, PoreImage, render_false, render_pore

CONDITIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "noise 2": {"noise": 2.0},
    "noise 25": {"noise": 25.0},
    "noise 25, contrast 50": {"noise": 25.0, "contrast": 50.0},
    "5.2 x 4 x 4 nm": {"voxel_size": (5.2, 4.0, 4.0)},
    "8 nm": {"voxel_size": (8.0, 8.0, 8.0)},
    "membranes 8 nm": {"thickness_nm": 8.0},
    "membranes 14 nm": {"thickness_nm": 14.0},
    "Gaussian membranes 8 nm": {"thickness_nm": 8.0, "gaussian": True},
    "Gaussian membranes 14 nm": {"thickness_nm": 14.0, "gaussian": True},
    "blur 3 nm": {"blur_nm": 3.0},
    "blur 7 nm": {"blur_nm": 7.0},
    "lumen 20 nm": {"half_lumen_nm": 10.0},
    "lumen 40 nm": {"half_lumen_nm": 20.0},
    "lumen 20 nm, blur 7 nm": {"half_lumen_nm": 10.0, "blur_nm": 7.0},
    "no plug": {"plug": 0.0},
    "plug 80 %": {"plug": 0.8},
    "plug 80 % up to the rim": {"plug": 0.8, "plug_radius": 0.95},
    "chromatin, ribosomes": {"chromatin": 0.8, "ribosomes": 0.7},
    "curved, 400 nm": {"radius_nm": 400.0},
    "curved, -400 nm": {"radius_nm": -400.0},
    "curved, all": {
        "radius_nm": 400.0,
        "chromatin": 0.8,
        "ribosomes": 0.7,
        "plug": 0.8,
        "noise": 25.0,
    },
    "neighbours at 140 nm": {"neighbour_nm": 140.0},
    "ellipse 1.13": {"ellipticity": 0.06},
}
LOOK_FIELDS = set(Look.__dataclass_fields__)
FALSE_KINDS = ("flat", "cytoplasm", "noise", "tubule", "vesicle")


def render_condition(settings: dict[str, Any], count: int) -> tuple[list[PoreImage], float]:
    """Return pores without noise and the standard deviation of the noise to add."""
    look = replace(Look(), **{key: settings[key] for key in settings if key in LOOK_FIELDS})
    options = {key: settings[key] for key in settings if key not in LOOK_FIELDS}
    rng = np.random.default_rng(0)
    images = [
        render_pore(
            rng,
            diameter_nm=rng.uniform(60, 130),
            look=replace(look, noise=0.0),
            shift_nm=30.0,
            tilt_degrees=25.0,
            **options,
        )
        for _ in range(count)
    ]
    return images, look.noise


def measure(image: PoreImage, noise: float, rng: np.random.Generator) -> PoreMeasurement:
    """Measure a pore after noise is added to its image."""
    z, y, x = image.start_centre_nm.tolist()
    return measure_pore(
        image.patch + noise * rng.standard_normal(image.patch.shape, np.float32),
        tuple(image.origin_nm.tolist()),
        image.voxel_size,
        (z, y, x),
        tuple(image.start_normal.tolist()),
    )


def print_condition(name: str, pores: int, images: int) -> None:
    """Print one row of the table."""
    rendered, noise = render_condition(CONDITIONS[name], pores)
    rng = np.random.default_rng(1)
    measure(rendered[0], noise, rng)
    start = time.process_time()
    chosen = [rendered[i % pores] for i in range(images)]
    measured = [measure(image, noise, rng) for image in chosen]
    cpu_ms = 1e3 * (time.process_time() - start) / images
    truth = np.array([image.diameter_nm for image in chosen])
    found = np.array([(m.diameter_nm, m.diameter_se_nm, m.diameter_sd_nm) for m in measured])
    good = np.isfinite(found[:, 0])
    errors, (_, se, sd) = found[good, 0] - truth[good], found[good].T
    calibration = np.sqrt(np.mean(((errors - errors.mean()) / se) ** 2))
    print(
        f"| {name} | {errors.mean():.2f} | {np.median(np.abs(errors)):.2f} | "
        f"{np.abs(errors).max():.2f} | {errors.std():.2f} | {se.mean():.2f} | {calibration:.2f} | "
        f"{sd.mean():.2f} | {(~good).sum()} | {cpu_ms:.0f} |",
        flush=True,
    )


def print_false(kind: str, images: int) -> None:
    """Print how many images without a pore have a flag."""
    rng = np.random.default_rng(2)
    flagged = 0
    for _ in range(images):
        look = Look(
            noise=rng.choice([4.0, 12.0, 25.0]),
            blur_nm=rng.choice([3.0, 5.0, 7.0]),
            chromatin=rng.choice([0.0, 0.7]),
            ribosomes=rng.choice([0.0, 0.6]),
        )
        flagged += bool(measure(render_false(kind, rng, look=look), 0.0, rng).flags)
    print(f"{kind}: {flagged} of {images} are flagged", flush=True)


def main() -> None:
    """Print a table of the conditions, then the flags of what has no pore."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("conditions", nargs="*", help="names of conditions; all if none is given")
    parser.add_argument("--pores", type=int, default=8)
    parser.add_argument("--images", type=int, default=24)
    arguments = parser.parse_args()
    print("| condition | bias | median abs | largest | SD | se | calibration | lines SD |", end="")
    print(" flagged | ms |\n|" + " --- |" * 10)
    for name in arguments.conditions or CONDITIONS:
        print_condition(name, arguments.pores, arguments.images)
    if not arguments.conditions:
        for kind in FALSE_KINDS:
            print_false(kind, arguments.images // 2)


if __name__ == "__main__":
    main()
