"""How well pores and coated pits are measured on synthetic cells, and found by networks.

::

    python benchmarks/morphometry.py pores             seeds 100-109, both voxel sizes, all masks
    python benchmarks/morphometry.py pores --seeds 100 --extent-nm 2600 --keep FOLDER
    python benchmarks/morphometry.py pits              seeds 100-109, 5 nm, all masks
    python benchmarks/morphometry.py end --keep FOLDER     pores and pits, see `end_to_end`

The phantoms are those of `asem phantom`: an envelope with pores of known diameters within a cell.
Masks are the true ones, and those eroded and dilated by a voxel. A pore is found if a measured pore
without a flag is within 40 nm of it, a pit or vesicle if one is within 60 nm. Data is made in a
temporary folder, or in --keep.
"""

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
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
from asem.workflows.pits import measure_pits
from asem.workflows.pores import measure_pores

Mask = npt.NDArray[np.bool_]
VOXEL_SIZES = ((5.0, 5.0, 5.0), (5.2, 4.0, 4.0))
MASKS: dict[str, Callable[[Mask], Mask]] = {
    "perfect": lambda mask: mask,
    "eroded": lambda mask: np.asarray(ndimage.binary_erosion(mask)),
    "dilated": lambda mask: np.asarray(ndimage.binary_dilation(mask)),
}
MATCH_NM, PIT_MATCH_NM = 40.0, 60.0
BORDER_NM = 40.0
"""From the outline of a complete pit or vesicle to the border of the volume."""
POSITION = ["z_nm", "y_nm", "x_nm"]


def main() -> None:
    """Print a row for each cell, voxel size and kind of mask, and the pooled rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["pores", "pits", "end"])
    parser.add_argument("--seeds", type=int, nargs="*", help="100 to 109; end: 201 202")
    parser.add_argument("--train-seed", type=int, default=200, help="end: the annotated cell")
    parser.add_argument("--structures", nargs="*", default=["npc", "ccp"], help="end: npc, ccp")
    parser.add_argument("--preparation", choices=["hpfs", "cf"], default="hpfs", help="end: of all")
    parser.add_argument("--extent-nm", type=float)
    parser.add_argument("--masks", nargs="*", choices=list(MASKS), default=list(MASKS))
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    with open_folder(arguments.keep) as folder:
        if arguments.what == "end":
            from end_to_end import run  # imports this module

            seeds, extent_nm = arguments.seeds or [201, 202], arguments.extent_nm
            structures, preparation = arguments.structures, arguments.preparation
            run(folder, structures, arguments.train_seed, seeds, extent_nm, preparation)
            return
        measure = {"pores": run_pores, "pits": run_pits}[arguments.what]
        seeds = arguments.seeds or list(range(100, 110))
        measure(folder, seeds, arguments.masks, arguments.extent_nm or 2600)


def run_pores(folder: Path, seeds: list[int], masks: list[str], extent_nm: float) -> None:
    """Print the rows of pores."""
    parts = []
    for seed in seeds:
        preparation = ("hpfs", "cf")[seed % 2]
        for size in VOXEL_SIZES:
            cell = make_cell(folder, seed, size, extent_nm, preparation)
            for kind in masks:
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


def run_pits(folder: Path, seeds: list[int], masks: list[str], extent_nm: float) -> None:
    """Print the rows of pits and vesicles."""
    parts = []
    for seed in seeds:
        preparation = ("hpfs", "cf")[seed % 2]
        cell = make_cell(folder, seed, VOXEL_SIZES[0], extent_nm, preparation)
        for kind in masks:
            matched = measure_pit_cell(cell, kind, extent_nm).assign(
                seed=seed, masks=kind, preparation=preparation
            )
            parts.append(matched)
            seconds = f"  {1000 * matched['seconds'].mean():.0f} ms each"
            row = format_pits(matched) + seconds
            print(f"seed {seed} {preparation} {kind:<8} {row}", flush=True)
    table = pd.concat(parts)
    for column in ("masks", "preparation", "kind_true", "location_true", "coated_true"):
        for value, rows in table.groupby(column):
            print(f"all cells, {column} {value!s:<9}", format_pits(rows))
    print("all cells", format_pits(table))


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


def measure_pit_cell(group: Path, kind: str, extent_nm: float) -> pd.DataFrame:
    """Measure the pits and vesicles of a cell; return true and false ones, with what was measured.

    Columns are those of the truth with ``_true``, and those of the table, nan if it was not found.
    """
    coated, caveolae = (open_volume(group / f"labels/{name}") for name in ("ccp", "caveolae"))
    path = group / f"pit_masks_{kind}"
    if not (path / "zarr.json").exists():
        ids = np.maximum(coated.read(coated.roi), caveolae.read(caveolae.roi))
        save_image(change_masks(ids, MASKS[kind]), path, coated.voxel_size)
    begin = time.monotonic()
    measure_pits(
        path,
        group / "raw",
        group / f"pits_{kind}",
        plasma_membrane=group / "labels/plasma_membrane",
        overwrite=True,
    )
    seconds = time.monotonic() - begin
    found = read_table(group / f"pits_{kind}/pits")
    truth = read_pit_truth(group)
    matched = match_pits(truth, found[found["flags"] == ""], extent_nm)
    return matched.assign(seconds=seconds / max(1, len(found)))


def read_pit_truth(group: Path) -> pd.DataFrame:
    """Return the true pits, vesicles and caveolae of a cell; vesicles have no neck."""
    truth = read_table(group / "truth/coated")
    truth["neck_nm"] = truth["neck_nm"].where(truth["kind"] == "pit")
    return truth


def change_masks(
    ids: npt.NDArray[np.uint32], change: Callable[[Mask], Mask]
) -> npt.NDArray[np.uint16]:
    """Return masks that are all changed; a voxel that is added has the id of the nearest one."""
    mask = change(ids > 0)
    nearest = ndimage.distance_transform_edt(ids == 0, return_distances=False, return_indices=True)
    return np.where(mask, ids[tuple(nearest)], 0).astype(np.uint16)


def match_pits(truth: pd.DataFrame, found: pd.DataFrame, extent_nm: float) -> pd.DataFrame:
    """Return a row for each complete true object, and for each measured one that is none."""
    tree = cKDTree(truth[POSITION].to_numpy())
    distance, index = tree.query(found[POSITION].to_numpy(), distance_upper_bound=PIT_MATCH_NM)
    hit = np.isfinite(distance)
    measured = found[hit].assign(row=index[hit], distance=distance[hit])
    measured = measured.sort_values("distance").drop_duplicates("row").set_index("row")
    reach = truth["width_nm"].to_numpy()[:, None] / 2 + BORDER_NM
    position = truth[POSITION].to_numpy()
    complete = np.all((position > reach) & (position < extent_nm - reach), axis=1)
    rows = truth.add_suffix("_true")[complete].join(measured, how="left")
    false = len(found) - len(measured)
    return pd.concat([rows, pd.DataFrame({"kind_true": [None] * false})])


def format_pits(rows: pd.DataFrame) -> str:
    """Return the figures of the issue: errors in nm, decisions, recall, precision."""
    true = rows[rows["kind_true"].notna()]
    found = true[true["kind"].notna()]
    texts = []
    for name in ("height_nm", "width_nm", "neck_nm", "eccentricity"):
        error = (found[name] - found[f"{name}_true"]).dropna()
        if len(error):
            texts.append(
                f"{name.removesuffix('_nm')} {error.abs().median():.2f} ({error.mean():+.2f})"
            )
    right = [
        f"{name} {(found[name] == found[f'{name}_true']).mean():.3f}"
        for name in ("kind", "location", "coated")
    ]
    pits = found[found["kind_true"] == "pit"]
    necks = pits["neck_nm"].notna().mean() if len(pits) else np.nan
    false = len(rows) - len(true)
    return (
        f"n {len(true):3d}  recall {len(found) / max(1, len(true)):.3f}  "
        f"precision {len(found) / max(1, len(found) + false):.3f}  {'  '.join(texts)}  "
        f"{'  '.join(right)}  necks {necks:.2f}"
    )


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
