"""Draw measured pits, caveolae and vesicles of a synthetic cell, for docs/pits.md.

::

    python benchmarks/pit_gallery.py docs/images/pits_gallery.png

A synthetic cell (`asem phantom`) is written to a temporary folder and measured (`asem pits`).
"""

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from asem.measure.image_patches import patch_roi, read_patch
from asem.measure.pits.measure_object import OBJECT_REACH_NM, measure_object
from asem.measure.pits.picture import PitPicture
from asem.report.gallery import Row
from asem.report.pit_gallery import choose_pits, plot_pit_gallery
from asem.tables import read_table
from asem.volume.sources import open_volume
from asem.volume.volume import Volume
from asem.workflows.importing import import_volume
from asem.workflows.phantom import write_phantom
from asem.workflows.pits import measure_pits

SHAPE, SEED = (520, 520, 520), 310
ROWS, COLUMNS = 4, 6
DPI, COLOURS = 84, 128
POSITION = ["z_nm", "y_nm", "x_nm"]


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    picture = parser.parse_args().picture
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        group = folder / "cell.zarr"
        write_phantom(group, shape=SHAPE, seed=SEED)
        join_masks(group, folder / "masks")
        membrane = group / "labels/plasma_membrane"
        measure_pits(folder / "masks", group / "raw", folder / "out", plasma_membrane=membrane)
        table = read_table(folder / "out/pits")
        raw = open_volume(group / "raw")
        chosen = choose_pits(table, np.isfinite(table["width_nm"].to_numpy()))[:ROWS]
        rows = [Row(row.title, row.rows[:COLUMNS]) for row in chosen]
        pictures = {n: measure_again(raw, table.iloc[n]) for row in rows for n in row.rows}
        figure = plot_pit_gallery(table, rows, pictures)
    save_small(figure, picture)


def join_masks(group: Path, destination: Path) -> None:
    """Write the masks of coated pits and vesicles, and of caveolae, as one label image."""
    coated, bare = (open_volume(group / "labels" / name) for name in ("ccp", "caveolae"))
    voxels = np.maximum(coated.read(coated.roi), bare.read(bare.roi)).astype(np.uint16)
    source = destination.with_suffix(".tif")
    tifffile.imwrite(source, voxels, compression="zlib")
    import_volume(source, destination, voxel_size=coated.voxel_size, kind="labels")


def measure_again(raw: Volume, row: pd.Series) -> PitPicture:
    """Measure one object, and return its picture."""
    z, y, x = row[POSITION].astype(float).tolist()
    roi = patch_roi(raw, (z, y, x), OBJECT_REACH_NM)
    patch, origin = read_patch(raw, roi), raw.position_nm(roi.offset)
    return measure_object(patch, origin, raw.voxel_size, (z, y, x)).picture


def save_small(figure: Figure, path: Path) -> None:
    """Save a figure in few colours, without white margins."""
    content = io.BytesIO()
    figure.savefig(content, dpi=DPI, format="png")
    image = Image.open(content).convert("RGB")
    image = image.crop(ImageOps.invert(image.convert("L")).getbbox())
    method, dither = Image.Quantize.MAXCOVERAGE, Image.Dither.NONE
    image.quantize(COLOURS, method, dither=dither).save(path, optimize=True)


if __name__ == "__main__":
    main()
