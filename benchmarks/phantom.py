"""How the synthetic cell compares with real volumes, and how fast it is rendered.

::

    python benchmarks/phantom.py compare --data DATA --out DIR     grey values, spectra, pictures
    python benchmarks/phantom.py speed --size 512                  voxels/s, share of each step
    python benchmarks/phantom.py figures --out docs/images         pictures for docs/phantom.md

DATA holds ``hela_hpfs_slice``, ``epfl_hippocampus`` and ``hela_sbfsem_slices``. Pictures of
``compare`` show real data: do not publish them.
"""

import argparse
import itertools
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.stats import wasserstein_distance

from asem.phantom import specimen, synthetic_volume
from asem.phantom.generate_cell import CellConfig, Preparation, generate_cell
from asem.phantom.synthetic_volume import SyntheticVolume
from asem.volume.roi import Roi

Plane = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Regions = dict[str, list[Mask]]
BLACK_PERCENTILE = 0.5
"""Of the smoothed image: what counts as the darkest membrane."""
SMOOTH_NM = 8.0
WINDOW = 64
"""Edge of the windows of the power spectrum, voxels."""
BANDS_NM = (160.0, 80.0, 57.0, 40.0, 28.0, 20.0, 14.0, 10.0)
"""Limits of the bands of the power spectrum, as periods."""
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


@dataclass(frozen=True)
class Planes:
    """Planes of an image with the regions that are compared.

    Parameters
    ----------
    images
        Grey values.
    regions
        By name: a mask of each plane.
    voxel_nm
        Of the planes.
    """

    images: list[Plane]
    regions: Regions
    voxel_nm: float

    def values(self, region: str) -> Plane:
        """Return the grey values of a region."""
        pairs = zip(self.images, self.regions[region], strict=True)
        return np.concatenate([image[mask] for image, mask in pairs])

    def normalized(self) -> "Planes":
        """Return densities: 0 at the white of resin (or clear cytosol), 1 at black membranes."""
        sigma = SMOOTH_NM / self.voxel_nm
        smooth = [ndimage.gaussian_filter(image, sigma) for image in self.images]
        if "resin" in self.regions:
            white = float(np.median(self.values("resin")))
        else:
            clear = Planes(smooth, self.regions, self.voxel_nm).values("cytosol")
            white = float(np.percentile(clear, 95))
        black = float(np.percentile(np.concatenate([s.ravel() for s in smooth]), BLACK_PERCENTILE))
        images = [(white - image) / (white - black) for image in self.images]
        return Planes(images, self.regions, self.voxel_nm)

    def spectrum(self, region: str) -> npt.NDArray[np.float64]:
        """Return the mean power in each band of `BANDS_NM`, from windows within a region."""
        window = np.hanning(WINDOW)[:, None] * np.hanning(WINDOW)
        powers = []
        for image, mask in zip(self.images, self.regions[region], strict=True):
            for y in range(0, image.shape[0] - WINDOW, WINDOW // 2):
                for x in range(0, image.shape[1] - WINDOW, WINDOW // 2):
                    cut = np.s_[y : y + WINDOW, x : x + WINDOW]
                    if mask[cut].mean() > 0.97:
                        part = (image[cut] - image[cut].mean()) * window
                        powers.append(np.abs(np.fft.fft2(part)) ** 2 / (window**2).sum())
        if not powers:
            raise ValueError(f"no window of {WINDOW} voxels within {region}")
        frequency = np.fft.fftfreq(WINDOW, self.voxel_nm)
        radius = np.hypot(frequency[:, None], frequency)
        power = np.mean(powers, axis=0) * self.voxel_nm**2
        limits = 1 / np.array(BANDS_NM)
        bands = itertools.pairwise(limits)
        inside = [(radius >= low) & (radius < high) for low, high in bands]
        return np.array([power[band].mean() if band.sum() > 2 else np.nan for band in inside])


def boxes(shape: tuple[int, ...], *corners: tuple[int, int, int, int]) -> Mask:
    """Return a mask of boxes (first and last row, first and last column, exclusive)."""
    mask = np.zeros(shape, bool)
    for top, bottom, left, right in corners:
        mask[top:bottom, left:right] = True
    return mask


def read_hpfs(data: Path) -> Planes:
    """Read the high-pressure frozen HeLa cell: one plane, 8 nm."""
    folder = data / "hela_hpfs_slice"
    raw = tifffile.imread(folder / "raw.tif").astype(float)
    er = tifffile.imread(folder / "er.tif") > 0
    regions = {
        "resin": [boxes(raw.shape, (300, 390, 330, 430))],
        "cytosol": [boxes(raw.shape, (100, 325, 0, 90), (75, 125, 95, 170), (120, 180, 190, 300))],
        "er": [er],
        "mitochondria": [boxes(raw.shape, (10, 60, 370, 415))],
    }
    return Planes([raw], regions, 8.0)


def read_epfl(data: Path) -> Planes:
    """Read planes of the mouse hippocampus, fixed chemically: 5 nm; a dendrite is the cytosol."""
    folder = data / "epfl_hippocampus"
    numbers = (40, 80, 120)
    raw = [tifffile.imread(folder / "raw.tif", key=n).astype(float) for n in numbers]
    mito = [tifffile.imread(folder / "mitochondria.tif", key=n) > 0 for n in numbers]
    cytosol = boxes(raw[0].shape, (230, 480, 60, 170), (450, 640, 250, 400))
    inner = [ndimage.binary_erosion(mask, iterations=3) for mask in mito]
    return Planes(raw, {"cytosol": [cytosol] * 3, "mitochondria": inner}, 5.0)


def read_sbfsem(data: Path) -> Planes:
    """Read the first plane of the HeLa cell by SBF-SEM: 10 nm."""
    raw = tifffile.imread(data / "hela_sbfsem_slices" / "raw.tif", key=0).astype(float)
    regions = {
        "resin": [boxes(raw.shape, (1100, 1200, 200, 330))],
        "nucleus": [boxes(raw.shape, (900, 1200, 800, 1050), (650, 750, 1050, 1150))],
    }
    return Planes([raw], regions, 10.0)


def make_volume(
    preparation: Preparation, extent_nm: float, voxel_nm: float, seed: int
) -> SyntheticVolume:
    """Return a synthetic cell in a cube."""
    size = round(extent_nm / voxel_nm)
    cell = generate_cell(
        (extent_nm,) * 3, CellConfig(preparation=preparation), np.random.default_rng(seed)
    )
    return SyntheticVolume.of_cell(
        cell, (size,) * 3, (voxel_nm,) * 3, preparation=preparation, seed=seed
    )


def render_planes(volume: SyntheticVolume, heights: tuple[float, ...], smooth_nm: float) -> Planes:
    """Render planes at heights in units of the box, with the regions that labels define."""
    size, voxel_nm = volume.shape[1], volume.voxel_size[1]
    images: list[Plane] = []
    regions: Regions = {n: [] for n in ("resin", "cytosol", "er", "mitochondria", "nucleus")}
    axis = np.arange(size) * voxel_nm
    for height in heights:
        z = int(height * volume.shape[0])
        image, labels = volume.render(Roi((z, 0, 0), (1, size, size)))
        masks = {name: label[0] > 0 for name, label in labels.items()}
        points = np.stack(np.meshgrid([z * voxel_nm], axis, axis, indexing="ij"), -1).reshape(-1, 3)
        outside = volume.shapes.cell.cell.distances(points).reshape(size, size)
        bodies = ("mito", "er", "golgi", "npc", "ccp", "caveolae", "nucleus", "plasma_membrane")
        empty = ~np.any([masks[name] for name in bodies], axis=0)
        images.append(ndimage.gaussian_filter(image[0].astype(float), smooth_nm / voxel_nm))
        regions["resin"].append(outside > 40)
        free = empty & (outside < -40)
        regions["cytosol"].append(ndimage.binary_erosion(free, iterations=round(16 / voxel_nm)))
        regions["er"].append(masks["er"] & ~masks["nucleus"])
        inner = ndimage.binary_erosion(masks["mito"], iterations=round(16 / voxel_nm))
        regions["mitochondria"].append(inner)
        deep = ndimage.binary_erosion(masks["nucleus"], iterations=round(160 / voxel_nm))
        regions["nucleus"].append(deep)
    return Planes(images, regions, voxel_nm)


@dataclass(frozen=True)
class Case:
    """A real image, and the synthetic cell that is compared with it."""

    read: Callable[[Path], Planes]
    preparation: Preparation
    extent_nm: float
    crop: tuple[int, int]
    """Corner of the square that the picture shows."""
    resampling_nm: float = 0.0
    """Standard deviation of a Gaussian that smooths the synthetic planes. Real ones were resampled
    before they were published: the noise of neighbours in resin correlates by 0.55."""


CASES = {
    "hpfs": Case(read_hpfs, "hpfs", 4000.0, (0, 0), 5.5),
    "epfl": Case(read_epfl, "cf", 4000.0, (200, 40)),
    "sbfsem": Case(read_sbfsem, "cf", 6000.0, (1000, 400), 8.0),
}
HEIGHTS = (0.14, 0.3, 0.46)


def compare(data: Path, out: Path, names: list[str], seed: int) -> None:
    """Print tables of grey values and spectra; write pictures side by side."""
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        case = CASES[name]
        real = case.read(data)
        volume = make_volume(case.preparation, case.extent_nm, real.voxel_nm, seed)
        synthetic = render_planes(volume, HEIGHTS, case.resampling_nm)
        if "resin" not in real.regions:
            del synthetic.regions["resin"]
        print(f"\n{name}: density at percentiles {PERCENTILES}, Wasserstein distance")
        _print_densities(real.normalized(), synthetic.normalized())
        region = "cytosol" if "cytosol" in real.regions else "nucleus"
        _print_spectra(real.normalized().spectrum(region), synthetic.normalized().spectrum(region))
        _save_pictures(out / f"{name}.png", real, synthetic, case.crop)


def _print_densities(real: Planes, synthetic: Planes) -> None:
    for region in real.regions:
        a, b = real.values(region), synthetic.values(region)
        rows = [" ".join(f"{q:5.2f}" for q in np.percentile(v, PERCENTILES)) for v in (a, b)]
        print(f"  {region:13s} real      {rows[0]}   sd {a.std():.3f}")
        print(
            f"  {'':13s} synthetic {rows[1]}   sd {b.std():.3f}   {wasserstein_distance(a, b):.3f}"
        )


def _print_spectra(real: npt.NDArray[np.float64], synthetic: npt.NDArray[np.float64]) -> None:
    ratio = synthetic / real
    periods = [f"{a:g}-{b:g}" for a, b in itertools.pairwise(BANDS_NM)]
    print("  period nm     " + " ".join(f"{period:>8s}" for period in periods))
    print("  power ratio   " + " ".join(f"{r:8.2f}" for r in ratio))
    print(f"  RMS of log2   {np.sqrt(np.nanmean(np.log2(ratio) ** 2)):.2f}")


def _save_pictures(path: Path, real: Planes, synthetic: Planes, corner: tuple[int, int]) -> None:
    edge = min(500, *real.images[0].shape, synthetic.images[0].shape[0])
    crops = [real.images[0][corner[0] :, corner[1] :][:edge, :edge]]
    crops += [image[:edge, :edge] for image in synthetic.images]
    tiles = [np.pad(c, ((0, edge - c.shape[0]), (0, edge - c.shape[1]))) for c in crops]
    picture = Image.fromarray(np.hstack(tiles).astype(np.uint8))
    factor = max(1, round(600 / edge))
    picture = picture.resize((picture.width * factor, picture.height * factor), 0)
    ImageDraw.Draw(picture).text((5, 5), "real | synthetic", fill=0)
    picture.save(path)


COLORS = {
    "mito": (230, 120, 30),
    "er": (60, 140, 230),
    "golgi": (170, 80, 200),
    "npc": (240, 40, 60),
    "ccp": (20, 170, 90),
    "caveolae": (220, 190, 0),
    "nucleus": (150, 190, 210),
}
"""Colours of labels in pictures; later ones are drawn over earlier ones."""


def save_figures(out: Path, seed: int) -> None:
    """Write the pictures of docs/phantom.md: both preparations, their labels, and details."""
    out.mkdir(parents=True, exist_ok=True)
    tiles, overlays, details = [], [], []
    for preparation in ("hpfs", "cf"):
        volume = make_volume(preparation, 4000.0, 5.0, seed)
        plane = Roi((volume.shape[0] // 2, 40, 40), (1, 400, 400))
        image, labels = volume.render(plane)
        tiles.append(image[0])
        overlays.append(_overlay(image[0], {name: label[0] for name, label in labels.items()}))
        details.append(_render_details(preparation, seed))
    Image.fromarray(np.hstack(tiles) & 0xFC).save(out / "phantom_preparations.png", optimize=True)
    Image.fromarray(np.hstack(overlays)).save(out / "phantom_labels.png", optimize=True)
    Image.fromarray(np.vstack(details)).save(out / "phantom_details.png", optimize=True)


def _overlay(image: npt.NDArray[np.uint8], labels: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """Return an image, smoothed and pale, with labels in colour."""
    pale = 128 + ndimage.gaussian_filter(image.astype(float), 1.5) / 2
    colored = np.repeat(pale[..., None], 3, axis=-1)
    for name in ("nucleus", *(n for n in COLORS if n != "nucleus")):
        inside = labels[name] > 0
        colored[inside] = 0.5 * colored[inside] + 0.5 * np.array(COLORS[name])
    return (colored / 8).astype(np.uint8) * 8


def _render_details(preparation: Preparation, seed: int) -> npt.NDArray[np.uint8]:
    """Return planes through a pore, a coated pit, a mitochondrion and a Golgi stack, 4 nm."""
    volume = make_volume(preparation, 4000.0, 4.0, seed)
    cell, half = volume.shapes.cell, 80
    margin = np.full(3, half * 4.0)

    def inner(centres: list[Any]) -> npt.NDArray[np.float64]:
        points = np.array(centres)
        far = np.all((points > margin) & (points < np.array(cell.extent_nm) - margin), axis=1)
        return np.asarray(points[far])

    side = [pore.centre for pore in cell.pores if abs(pore.normal[0]) < 0.2]
    pits = [p.position for p in cell.pits if p.coated and p.endosome < 0 and abs(p.normal[0]) < 0.4]
    tubes = sorted(cell.mitochondria, key=lambda tube: -len(tube.points))
    mitochondria = [tube.points[len(tube.points) // 2] for tube in tubes]
    stacks = [
        np.mean([s.centre for s in golgi.cisternae], axis=0)
        for golgi in sorted(cell.golgi, key=lambda golgi: abs(golgi.cisternae[0].normal[0]))
    ]
    tiles = []
    for centres in (side, pits, mitochondria, stacks):
        z, y, x = (int(v) for v in np.rint(inner(centres)[0] / 4))
        box = Roi((z, y - half, x - half), (1, 2 * half, 2 * half))
        tiles.append(volume.render(box)[0][0])
    return np.hstack(tiles)


@contextmanager
def timed_calls(targets: list[tuple[Any, str]]) -> Iterator[dict[str, float]]:
    """Measure the CPU time of functions of modules while the body runs."""
    seconds = {name: 0.0 for _, name in targets}

    def timed(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            start = time.process_time()
            result = function(*args, **options)
            seconds[name] += time.process_time() - start
            return result

        return call

    with ExitStack() as stack:
        for module, name in targets:
            patch = mock.patch.object(module, name, timed(getattr(module, name), name))
            stack.enter_context(patch)
        yield seconds


def measure_speed(size: int, block: int, voxel_nm: float, preparation: Preparation) -> None:
    """Render all blocks of a cube; print voxels/s, CPU time of steps, and the peak of memory."""
    start = time.perf_counter()
    volume = make_volume(preparation, size * voxel_nm, voxel_nm, 0)
    print(f"generation of the cell {time.perf_counter() - start:.1f} s")
    warm = Roi((size // 2, size // 2, size // 2), (2, 32, 32))
    volume.render(warm)  # compiles
    targets = [
        (synthetic_volume, "sample_surface_distance"),
        (synthetic_volume, "build_layers"),
        (synthetic_volume, "sample_noise"),
        (synthetic_volume, "stain_block"),
        (specimen, "stain"),
        (specimen, "add_dots"),
        (specimen, "add_grain"),
        (synthetic_volume, "expose"),
    ]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, cpu = time.perf_counter(), time.process_time()
    with timed_calls(targets) as seconds:
        for z in range(0, size, block):
            for y in range(0, size, block):
                for x in range(0, size, block):
                    box = Roi((z, y, x), (block, block, block))
                    volume.render(box.intersect(Roi.of_shape(volume.shape)))
    total, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{size}^3 in blocks of {block}^3: {total:.1f} s, {size**3 / total / 1e6:.2f} M voxels/s")
    print(f"CPU time {cpu:.1f} s, {size**3 / cpu / 1e6:.2f} M voxels per CPU second; of these:")
    for name, spent in seconds.items():
        print(f"  {name:25s} {spent:7.2f} s  {100 * spent / cpu:5.1f} %")
    print(f"  peak memory {peak:.0f} MiB, {before:.0f} MiB before the first block")


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=("compare", "speed", "figures"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("phantom_pictures"))
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--block", type=int, default=256)
    parser.add_argument("--voxel-size", type=float, default=5.0)
    parser.add_argument("--preparation", default="hpfs", choices=("hpfs", "cf"))
    options = parser.parse_args()
    if options.task == "compare":
        compare(options.data, options.out, options.cases, options.seed)
    elif options.task == "figures":
        save_figures(options.out, options.seed)
    else:
        measure_speed(options.size, options.block, options.voxel_size, options.preparation)


if __name__ == "__main__":
    main()
