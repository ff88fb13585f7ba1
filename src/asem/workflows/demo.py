"""The demo: a synthetic cell through every step, by the same verbs that a user calls."""

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.journal import finish
from asem.blocks.run import Progress, silent
from asem.config import Nm3
from asem.model.checkpoint import read_run
from asem.phantom.cell import make_cell
from asem.report.figures import as_png, loss_curves, overlay
from asem.report.page import Picture, write_page
from asem.system.files import replaced
from asem.volume.formats import open_volume
from asem.volume.roi import Roi, Triple, parse_roi
from asem.volume.tiff import write_plane
from asem.workflows.demo_folder import CELL, PAGE, PLANES, RUN, TRAINING, claim_demo
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.exporting import export_volume
from asem.workflows.importing import import_volume
from asem.workflows.predict import predict_volume
from asem.workflows.segment import segment_volume
from asem.workflows.train import train_model

SHAPE: Triple = (96, 224, 400)
VOXEL_SIZE: Nm3 = (10.0, 10.0, 10.0)
TRAIN, VALIDATE, SCORE = ":,:,:248", ":,:,248:288", ":,:,288:"
"""Parts along x: no column serves two purposes."""
SMALLEST_OBJECT = 1000
SEED = 7
FIGURES = {"f1": "F1", "precision": "precision", "recall": "recall", "iou": "IoU"}

TRAINING_FILE = """\
# A small network, trained for the time of a coffee. A real one: README, "Use it on your data".
structure = "mito"
voxel_size = [10, 10, 10]
iterations = 300
validate_every = 100
batch = 2
patch = 76
loss = "cross_entropy+dice"

[model]
features = 12
levels = 3
norm = "batch"

[optimizer]
name = "adamw"
learning_rate = 3e-3
weight_decay = 1e-2
schedule = "cosine"
warmup = 20

[[train]]
raw = "cell.zarr/raw"
labels = "cell.zarr/labels/mito"
roi = "{train}"

[[validation]]
raw = "cell.zarr/raw"
labels = "cell.zarr/labels/mito"
roi = "{validate}"
"""


def run_demo(
    folder: Path, *, overwrite: bool = False, progress: Progress = silent
) -> dict[str, Any]:
    """Make a cell, import, train, predict, segment, score, export and report it.

    Parameters
    ----------
    folder
        A folder to make.
    overwrite
        Delete the demo that lies there.
    progress
        Told of every step.

    Returns
    -------
    dict
        ``report`` (the page), ``cell``, ``segmentation``, ``planes`` (of the segmentation, TIFF)
        and ``training_file``, as paths; ``f1`` (outside of the exclusion zone, on the part kept
        back), ``scores`` and ``seconds``.

    Raises
    ------
    FileExistsError
        Something lies at `folder` that may not be deleted.
    BlockingIOError
        Another process makes a demo there.
    """
    text = TRAINING_FILE.format(train=TRAIN, validate=VALIDATE).encode()
    with claim_demo(folder, text, overwrite=overwrite):
        result = _make_demo(folder, text, progress)
        finish(folder)
    return result


def _make_demo(folder: Path, training_text: bytes, progress: Progress) -> dict[str, Any]:
    started = time.monotonic()
    stacks = make_stacks(folder)
    cell = folder / CELL
    raw, labels = cell / "raw", cell / "labels" / "mito"
    import_volume(stacks["raw"], raw, voxel_size=VOXEL_SIZE, progress=progress)
    import_volume(stacks["mito"], labels, voxel_size=VOXEL_SIZE, kind="labels", progress=progress)
    training_file = folder / TRAINING
    with replaced(training_file) as file:
        file.write(training_text)
    run = folder / RUN
    train_model(training_file, out=run, progress=progress)
    probability = cell / "predictions" / "mito" / "probability"
    segmentation = cell / "predictions" / "mito" / "segmentation"
    predict_volume(run, raw, probability, progress=progress)
    segment_volume(probability, segmentation, min_size=SMALLEST_OBJECT, progress=progress)
    scores = evaluate_volume(
        segmentation, labels, structure_name="mito", roi=SCORE, progress=progress
    )
    planes = folder / PLANES / "segmentation"
    export_volume(segmentation, planes, progress=progress)
    seconds = time.monotonic() - started
    page = folder / PAGE
    write_page(
        page,
        "asem demo",
        summary=_summary(seconds),
        scores=scores,
        pictures=_pictures(cell, run),
    )
    return {
        "report": str(page),
        "cell": str(cell),
        "segmentation": str(segmentation),
        "planes": str(planes),
        "training_file": str(training_file),
        "f1": scores["exclusion_zone"]["f1"],
        "scores": scores,
        "seconds": round(seconds, 1),
    }


def describe_demo(result: Mapping[str, Any]) -> str:
    """Return in words what the demo made and what to open next.

    Parameters
    ----------
    result
        From `run_demo`.
    """
    zoned, whole = result["scores"]["exclusion_zone"], result["scores"]["all"]
    figures = ", ".join(f"{name} {_figure(zoned[key])}" for key, name in FIGURES.items())
    all_voxels = _figure(whole["f1"])
    minutes = result["seconds"] / 60
    return f"""\
The demo is finished: a synthetic cell went through the whole method in {minutes:.1f} minutes.
In the part of the cell that the network never saw, its mitochondria score
    {figures}
outside of the exclusion zone around the labels' borders. In all voxels F1 is {all_voxels}.

Open next:
    {result["report"]}
        the report in a browser: pictures, loss curves, scores
    asem info {shlex.quote(result["segmentation"])}
        what the segmentation is, and what made it
    napari {shlex.quote(result["cell"])}
        raw, labels and prediction in 3D; needs pip install 'asem[napari]'
    {result["planes"]}
        the segmentation as TIFF planes, for Fiji and others

Your own data: follow "Use it on your data" in README; {result["training_file"]} is the
training file of this demo.
"""


def _figure(score: float | None) -> str:
    return "undefined" if score is None else f"{score:.3f}"


def make_stacks(folder: Path) -> dict[str, Path]:
    """Write the synthetic cell as two folders of TIFF planes, as a microscope would leave them.

    Returns
    -------
    dict
        ``raw`` and ``mito``, the folders.
    """
    raw, mitochondria = make_cell(SHAPE, VOXEL_SIZE, np.random.default_rng(SEED))
    stacks: dict[str, npt.NDArray[Any]] = {"raw": raw, "mito": mitochondria}
    paths = {name: folder / PLANES / name for name in stacks}
    for name, planes in stacks.items():
        paths[name].mkdir(parents=True)
        for number, plane in enumerate(planes):
            write_plane(paths[name] / f"{name}_{number:04d}.tif", plane, VOXEL_SIZE[1:])
    return paths


def _summary(seconds: float) -> str:
    z, y, x = (n * size / 1000 for n, size in zip(SHAPE, VOXEL_SIZE, strict=True))
    return (
        f"A synthetic piece of cytoplasm, {z:.2g} x {y:.2g} x {x:.2g} µm in voxels of 10 nm: "
        f"trained on its left part, scored on its right third ({SCORE}), which the network never "
        f"saw. Everything took {seconds / 60:.1f} minutes."
    )


def _pictures(cell: Path, run: Path) -> list[Picture]:
    """Return the planes of the scored part with most in them, and the curves of the training."""
    raw, labels, segmentation = (
        open_volume(cell / name) for name in ("raw", "labels/mito", "predictions/mito/segmentation")
    )
    part = parse_roi(SCORE, SHAPE)
    labelled = labels.read(part) > 0
    z, y = (int(labelled.sum(axes).argmax()) for axes in ((1, 2), (0, 2)))
    planes = {
        f"Plane z = {z}": Roi((z, *part.offset[1:]), (1, *part.shape[1:])),
        f"Plane y = {y}": Roi((0, y, part.offset[2]), (part.shape[0], 1, part.shape[2])),
    }
    pictures = []
    for title, roi in planes.items():
        grey, truth, found = (volume.read(roi).squeeze() for volume in (raw, labels, segmentation))
        figure = overlay(grey, truth > 0, found > 0, window=(0, 255), pixel_nm=VOXEL_SIZE[1:])
        pictures.append(Picture(f"{title}, the part kept back", as_png(figure)))
    curves = loss_curves(read_run(run).metrics)
    return [*pictures, Picture("Training", as_png(curves))]
