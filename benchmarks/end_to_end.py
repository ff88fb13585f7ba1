"""Small structures end to end: annotate a few, train, predict another cell, count and measure.

``python benchmarks/morphometry.py end`` calls `run`. One synthetic cell has loose annotations
(`loose_annotations`) of 8 pores and 15 pits, and of 2 and 3 more for validation. Networks that are
trained on them predict other cells, whose objects are those of `asem segment` and
`asem instances`, with the settings of docs/training.md, "Small structures".

A predicted object is right if a true one that no other has is within 40 nm of it; caveolae, and
pores that the border cuts, make an object neither right nor wrong. What is centred nearer than 90
nm to the border of the image, the context of the network, does not count, true or predicted:
the network sees mirrored voxels there, in which the membranes of these cells have edges.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import ndimage

from asem.structures import find_preset
from asem.tables import read_table
from asem.volume.roi import Roi
from asem.volume.sources import open_volume
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.instances import label_instances
from asem.workflows.pits import measure_pits
from asem.workflows.pores import measure_pores
from asem.workflows.predict import predict_volume
from asem.workflows.segment import segment_volume
from asem.workflows.train import finetune_model, train_model
from loose_annotations import (
    POSITION,
    KnownCell,
    annotate_all,
    annotate_few,
    read_candidates,
)
from morphometry import (
    MATCH_NM,
    format_pits,
    make_cell,
    match,
    match_pits,
    read_pit_truth,
    save_image,
)

VOXEL = (5.0, 5.0, 5.0)
COUNTS = {"npc": ((8, 2), (24, 4)), "ccp": ((15, 3), (24, 4))}
"""Annotated objects, and boxes without one, for training and for validation."""
EXTENT_NM = 3200.0
"""Edge of the annotated cell; a smaller one has too few pits."""
SMALLEST_NM3 = {"npc": 2.5e5, "ccp": 2.5e5}
"""Smaller predicted objects are removed."""
BORDER_NM = 90.0
"""From the border of the image: objects with a centre there are not scored."""
TRAINING_FILE = """\
structure = "{structure}"
voxel_size = [10, 10, 10]

[[train]]
raw = "{cell}/raw"
labels = "{cell}/annotations/{structure}"

[[validation]]
raw = "{cell}/raw"
labels = "{cell}/annotations/{structure}_validation"
"""


@dataclass(frozen=True)
class Clock:
    """Seconds since it was made, of the wall clock and of the processor."""

    wall: float
    cpu: float

    @classmethod
    def start(cls) -> "Clock":
        """Start to measure."""
        return cls(time.monotonic(), time.process_time())

    def __str__(self) -> str:
        """Return both, for a row."""
        wall, cpu = time.monotonic() - self.wall, time.process_time() - self.cpu
        return f"{wall:.0f} s, {cpu:.0f} s CPU"


def run(
    folder: Path,
    structures: list[str],
    training: int,
    seeds: list[int],
    extent_nm: float | None,
    preparation: str,
) -> None:
    """Train a network for each structure on one cell, and print its scores on each other cell.

    Parameters
    ----------
    folder
        Cells, runs, predictions and tables; what is there is not computed again.
    structures
        npc, ccp or both.
    training, seeds
        Seeds of the annotated cell, and of those that are predicted.
    extent_nm
        Edge of the cells that are predicted; None: `EXTENT_NM`.
    preparation
        hpfs or cf, of all cells.
    """
    for structure in structures:
        network = train(folder, structure, training, preparation)
        for seed in seeds:
            group = make_cell(folder, seed, VOXEL, extent_nm or EXTENT_NM, preparation)
            cell = KnownCell.of_group(group, structure, seed=seed, preparation=preparation)
            predict(network, cell)
            for row in score(cell):
                print(f"{structure} seed {seed} {preparation}: {row}", flush=True)


def train(folder: Path, structure: str, seed: int, preparation: str) -> Path:
    """Annotate a cell, train a network on it and fine-tune it there; return the second run.

    What is there already is not done again.
    """
    group = make_cell(folder, seed, VOXEL, EXTENT_NM, preparation)
    cell = KnownCell.of_group(group, structure, seed=seed, preparation=preparation)
    names = [structure, f"{structure}_validation"]
    if not all((group / "annotations" / name / "zarr.json").exists() for name in names):
        (group / "annotations").mkdir(exist_ok=True)
        for name, codes in zip(names, annotate_few(cell, *COUNTS[structure]), strict=True):
            save_image(codes, group / "annotations" / name, VOXEL)
    file = folder / f"{preparation}_{structure}.toml"
    file.write_text(TRAINING_FILE.format(structure=structure, cell=group.name))
    first, second = (folder / "runs" / f"{file.stem}{end}" for end in ("", "_finetuned"))
    for network in (first, second):
        if (network / "run.json").exists():
            continue
        clock = Clock.start()
        if network == first:
            result = train_model(file, out=first)
        else:
            result = finetune_model(first, file, out=second)
        print(f"{network.name}: {clock}, checkpoint {result['best']}", flush=True)
    return second


def predict(network: Path, cell: KnownCell) -> None:
    """Predict a cell; write probability, segmentation and instances, unless they exist."""
    out = cell.group / "predictions" / cell.structure
    if (out / "instances/zarr.json").exists():
        return
    clock = Clock.start()
    raw = cell.group / "raw"
    predict_volume(network, raw, out / "probability")
    print(f"{cell.structure} predicted: {clock}", flush=True)
    min_size = round(SMALLEST_NM3[cell.structure] / float(np.prod(VOXEL)))
    segment_volume(out / "probability", out / "segmentation", min_size=min_size)
    # Pores are closer to each other than pits.
    split = find_preset("npc").split if cell.structure == "npc" else None
    label_instances(out / "segmentation", out / "instances", min_size=min_size, split=split)


def score(cell: KnownCell) -> list[str]:
    """Return scores of objects and voxels, and of pores the errors of their diameters."""
    out = cell.group / "predictions" / cell.structure
    found = match_objects(cell, out / "instances")
    found.to_csv(out / "objects.csv", index=False)
    truth = read_scored(cell)
    is_found = truth["object_id"].isin(found["truth"])
    right = int(is_found.sum())
    false = len(found) - right
    is_pore = cell.structure == "npc"
    kinds = [["pore"] * len(truth)] if is_pore else [truth["location"], truth["kind"]]
    parts = [f"{' '.join(name)} {r.sum()}/{len(r)}" for name, r in is_found.groupby(kinds)]
    rows = [
        f"objects: recall {is_found.mean():.3f} ({', '.join(parts)})  "
        f"precision {right / max(1, right + false):.3f} ({false} false)",
        format_voxel_scores(cell, out / "segmentation"),
    ]
    if is_pore:
        return [*rows, measure_diameters(cell, out / "instances")]
    return [*rows, measure_lengths(cell, out / "instances")]


def read_scored(cell: KnownCell) -> pd.DataFrame:
    """Return the true objects that are scored."""
    table = read_candidates(cell)
    position, extent = table[POSITION].to_numpy(), np.multiply(cell.volume.shape, VOXEL)
    inside = np.all((position > BORDER_NM) & (position < extent - BORDER_NM), axis=1)
    return table[table["may_be_scored"] & inside]


def match_objects(cell: KnownCell, instances: Path) -> pd.DataFrame:
    """Return id, voxels and match of each predicted object that is right or wrong.

    ``truth`` is the id of the true object, 0 if it has none, or another has it.
    """
    volume = open_volume(instances)
    ids = volume.read(volume.roi)
    truth = open_volume(cell.group / "labels" / cell.structure)
    reach = round(MATCH_NM / VOXEL[0])
    scored = set(read_scored(cell)["object_id"])
    extent = np.multiply(cell.volume.shape, VOXEL)
    others = open_volume(cell.group / "labels/caveolae") if cell.structure == "ccp" else None
    rows, taken = [], set[int]()
    for number, box in enumerate(ndimage.find_objects(ids.astype(np.int32)), 1):
        first, last = ([getattr(s, end) for s in box] for end in ("start", "stop"))
        centre = np.add(first, last) / 2 * VOXEL
        if np.any((centre < BORDER_NM) | (centre > extent - BORDER_NM)):
            continue
        roi = Roi.from_bounds(first, last).grow((reach, reach, reach)).intersect(volume.roi)
        mask = ids[roi.slices] == number
        near = find_near(mask, truth.read(roi), reach)
        hits = [n for n in near if n in scored]
        is_other = near != hits or (
            others is not None and bool(find_near(mask, others.read(roi), reach))
        )
        if not hits and is_other:
            continue
        match_id = next((n for n in hits if n not in taken), 0)
        taken.add(match_id)
        rows.append((number, int(mask.sum()), match_id))
    return pd.DataFrame(rows, columns=["object_id", "voxels", "truth"])


def find_near(mask: npt.NDArray[np.bool_], labels: npt.NDArray[Any], reach: int) -> list[int]:
    """Return the ids within some voxels of a mask, the nearest first."""
    if not labels.any():
        return []
    distance = ndimage.distance_transform_edt(~mask)
    near = (labels > 0) & (distance <= reach)
    ids = np.unique(labels[near])
    return sorted(ids.tolist(), key=lambda n: float(distance[labels == n].min()))


def format_voxel_scores(cell: KnownCell, segmentation: Path) -> str:
    """Return scores of voxels against traces as loose as the annotations, of all objects."""
    path = cell.group / "annotations" / f"{cell.structure}_all"
    if not (path / "zarr.json").exists():
        path.parent.mkdir(exist_ok=True)
        save_image(annotate_all(cell), path, VOXEL)
    scores = evaluate_volume(segmentation, path, structure_name=cell.structure)
    voxels, zone = scores["all"], scores["exclusion_zone"]
    values = {"IoU": voxels["iou"], "precision": voxels["precision"], "recall": voxels["recall"]}
    values["F1 outside of the zone"] = zone["f1"]
    texts = [f"{k} {'-' if v is None else format(v, '.3f')}" for k, v in values.items()]
    return f"voxels, of traces: {'  '.join(texts)}"


def measure_diameters(cell: KnownCell, instances: Path) -> str:
    """Return scores and errors of the pores that `asem pores` measures with predicted masks.

    Masks without a pore in the image are left out by the measurement. True pores count if they are
    complete.
    """
    out = cell.group / "predictions/npc/pores"
    measure_pores(instances, cell.group / "raw", out, overwrite=True)
    found = read_table(out / "pores")
    rows = match(read_table(cell.group / "truth/pores"), found[found["flags"] == ""])
    both = rows[rows["truth_nm"].notna() & rows["diameter_nm"].notna()]
    error = both["diameter_nm"] - both["truth_nm"]
    true, false = rows["truth_nm"].notna().sum(), rows["truth_nm"].isna().sum()
    return (
        f"measured: recall {len(both) / true:.3f} ({len(both)}/{true})  "
        f"precision {len(both) / max(1, len(both) + false):.3f} ({false} false)  "
        f"median |error| {error.abs().median():.2f} nm  "
        f"bias {error.mean():+.2f} nm  SD {error.std():.2f} nm"
    )


def measure_lengths(cell: KnownCell, instances: Path) -> str:
    """Return scores of the coated objects that `asem pits` measures with predicted masks.

    Caveolae, and masks without a pit in the image, are left out by the measurement. All masks
    count, also those at the border; true objects count if they are complete.
    """
    out = cell.group / "predictions/ccp/pits"
    membrane = cell.group / "labels/plasma_membrane"
    measure_pits(instances, cell.group / "raw", out, plasma_membrane=membrane, overwrite=True)
    found = read_table(out / "pits")
    truth = read_pit_truth(cell.group)
    coated = truth[truth["coated"]].reset_index(drop=True)
    used = found[(found["flags"] == "") & found["coated"]]
    extent_nm = float(cell.volume.shape[0] * VOXEL[0])
    return f"measured: {format_pits(match_pits(coated, used, extent_nm))}"
