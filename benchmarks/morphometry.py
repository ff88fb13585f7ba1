"""How well pores are measured on synthetic cells of known geometry, and found by networks.

::

    python benchmarks/morphometry.py pores             seeds 100-109, both voxel sizes, all masks
    python benchmarks/morphometry.py pores --seeds 100 --extent-nm 2600 --keep FOLDER
    python benchmarks/morphometry.py end --keep FOLDER     pores and pits, see `end_to_end`

The phantoms are those of `asem phantom`: an envelope with pores of known diameters within a cell.
Masks are the true ones, and those eroded and dilated by a voxel. A pore is found if a measured pore
without a flag is within 40 nm of it. Data is made in a temporary folder, or in --keep.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import tifffile
from scipy import ndimage
from scipy.spatial import cKDTree

from asem.phantom.generate_cell import CellConfig
from asem.tables import read_table
from asem.volume.sources import open_volume
from asem.workflows.importing import import_volume
from asem.workflows.phantom import write_phantom
from asem.workflows.pores import measure_pores

Mask = npt.NDArray[np.bool_]
VOXEL_SIZES = ((5.0, 5.0, 5.0), (5.2, 4.0, 4.0))
MASKS: dict[str, Callable[[Mask], Mask]] = {
    "perfect": lambda mask: mask,
    "eroded": lambda mask: np.asarray(ndimage.binary_erosion(mask)),
    "dilated": lambda mask: np.asarray(ndimage.binary_dilation(mask)),
}
MATCH_NM = 40.0
POSITION = ["z_nm", "y_nm", "x_nm"]


def main() -> None:
    """Print a row for each cell, voxel size and kind of mask, and the pooled rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["pores", "end"])
    parser.add_argument("--seeds", type=int, nargs="*", help="end: 201 202")
    parser.add_argument("--train-seed", type=int, default=200, help="end: the annotated cell")
    parser.add_argument("--structures", nargs="*", default=["npc", "ccp"], help="end: npc, ccp")
    parser.add_argument("--preparation", choices=["hpfs", "cf"], default="hpfs", help="end: of all")
    parser.add_argument("--extent-nm", type=float)
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    with open_folder(arguments.keep) as folder:
        if arguments.what == "pores":
            measure_cells(folder, arguments.seeds or range(100, 110), arguments.extent_nm or 2600)
            return
        from end_to_end import run  # imports this module

        seeds, extent_nm = arguments.seeds or [201, 202], arguments.extent_nm
        structures, preparation = arguments.structures, arguments.preparation
        run(folder, structures, arguments.train_seed, seeds, extent_nm, preparation)


def measure_cells(folder: Path, seeds: Iterable[int], extent_nm: float) -> None:
    """Measure the pores of cells with all masks; print their rows, and the pooled ones."""
    parts = []
    for seed in seeds:
        for size in VOXEL_SIZES:
            preparation = ("hpfs", "cf")[seed % 2]
            cell = make_cell(folder, seed, size, extent_nm, preparation)
            for kind in MASKS:
                matched = measure_cell(cell, kind).assign(
                    seed=seed, size=f"{size[0]:g}", masks=kind, preparation=preparation
                )
                parts.append(matched)
                print(f"seed {seed} {preparation}", format_row(size, kind, matched), flush=True)
    table = pd.concat(parts)
    for (size, kind), rows in table.groupby(["size", "masks"]):
        print("all cells", format_row(size, kind, rows))
    for (size, preparation), rows in table.groupby(["size", "preparation"]):
        print("all masks", format_row(size, preparation, rows))


@contextlib.contextmanager
def open_folder(keep: Path | None) -> Iterator[Path]:
    """Return a folder that is retained, or a temporary one."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def make_cell(
    folder: Path, seed: int, size: tuple[float, ...], extent_nm: float, preparation: str
) -> Path:
    """Write a synthetic cell unless it exists; return its group."""
    group = folder / f"{preparation}_{seed}_{size[0]:g}.zarr"
    if not (group / "raw/zarr.json").exists():
        shape = tuple(round(extent_nm / edge) for edge in size)
        write_phantom(
            group,
            shape=shape,  # type: ignore[arg-type]
            voxel_size=size,  # type: ignore[arg-type]
            seed=seed,
            config=CellConfig(preparation=preparation),  # type: ignore[arg-type]
        )
    return group


def measure_cell(group: Path, kind: str) -> pd.DataFrame:
    """Measure the pores of a cell; return the true pores and false ones, with what was measured.

    Columns: ``truth_nm`` (nan for a false pore), ``diameter_nm`` and ``diameter_se_nm`` (nan for a
    pore that was not found), ``seconds`` per pore.
    """
    labels = open_volume(group / "labels/npc")
    path = group / f"masks_{kind}"
    if not (path / "zarr.json").exists():
        mask = MASKS[kind](labels.read(labels.roi) > 0).astype(np.uint8)
        save_image(mask, path, labels.voxel_size)
    begin = time.monotonic()
    measure_pores(path, group / "raw", group / f"pores_{kind}", overwrite=True)
    seconds = time.monotonic() - begin
    truth = read_table(group / "truth/pores")
    found = read_table(group / f"pores_{kind}/pores")
    matched = match(truth, found[found["flags"] == ""])
    return matched.assign(seconds=seconds / max(1, len(found)))


def save_image(voxels: npt.NDArray[Any], path: Path, voxel_size: tuple[float, ...]) -> None:
    """Write labels as an image."""
    source = path.with_suffix(".npy.tif")
    tifffile.imwrite(source, voxels, compression="zlib")
    import_volume(source, path, voxel_size=voxel_size, kind="labels")  # type: ignore[arg-type]
    source.unlink()


def match(truth: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each complete true pore, and for each measured pore that is no true one."""
    tree = cKDTree(truth[POSITION].to_numpy())
    distance, index = tree.query(found[POSITION].to_numpy(), distance_upper_bound=MATCH_NM)
    hit = np.isfinite(distance)
    measured = pd.DataFrame(
        {
            "object_id": truth["object_id"].to_numpy()[index[hit]],
            "diameter_nm": found["diameter_nm"].to_numpy()[hit],
            "diameter_se_nm": found["diameter_se_nm"].to_numpy()[hit],
        }
    ).drop_duplicates("object_id")
    rows = truth[truth["is_complete"]].merge(measured, on="object_id", how="left")
    rows = rows.rename(columns={"diameter_nm_x": "truth_nm", "diameter_nm_y": "diameter_nm"})
    false = np.count_nonzero(~hit) + np.count_nonzero(hit) - len(measured)
    wrong = pd.DataFrame({"truth_nm": [np.nan] * false, "diameter_nm": [0.0] * false})
    return pd.concat([rows[["truth_nm", "diameter_nm", "diameter_se_nm"]], wrong])


def format_row(size: Any, kind: str, rows: pd.DataFrame) -> str:
    """Return the figures of the issue: errors in nm, calibration, recall, false pores."""
    true = rows[rows["truth_nm"].notna()]
    found = true[true["diameter_nm"].notna()]
    error = found["diameter_nm"] - found["truth_nm"]
    ratio = np.sqrt(np.mean(((error - error.mean()) / found["diameter_se_nm"]) ** 2))
    edge = size if isinstance(size, str) else f"{size[0]:g}"
    return (
        f"{edge:>4} nm {kind:<8} n {len(true):4d}  recall {len(found) / len(true):.3f}  "
        f"false {rows['truth_nm'].isna().sum():3d}  median |error| {error.abs().median():.2f}  "
        f"bias {error.mean():+.2f}  SD {error.std():.2f}  RMS/SE {ratio:.2f}  "
        f"{1000 * rows['seconds'].mean():.0f} ms/pore"
    )


if __name__ == "__main__":
    main()
