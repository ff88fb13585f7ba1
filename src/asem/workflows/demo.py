"""Run the whole method on a synthetic cell (`asem demo`), by the workflows of the commands."""

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from asem.blocks.output_lock import delete_journal
from asem.blocks.run_blocks import Progress, no_progress
from asem.config import MAX_COUNT, NmZYX, shorten
from asem.model.checkpoint import read_run_state
from asem.phantom.synthetic_cell import make_synthetic_cell
from asem.report.figures import encode_png_data_url, plot_overlay
from asem.report.html_report import ReportFigure, write_html_report
from asem.report.loss_curves import plot_loss_curves
from asem.system.nofollow_files import replace_file_nofollow
from asem.volume.roi import IntZYX, Roi, parse_roi, per_axis
from asem.volume.sources import open_volume
from asem.volume.tiff_sources import write_plane
from asem.workflows.demo_folder import (
    CELL_GROUP,
    REPORT_FILE,
    RUN_FOLDER,
    TIFF_FOLDER,
    TRAINING_TOML,
    lock_demo_folder,
)
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.exporting import export_volume
from asem.workflows.importing import import_volume
from asem.workflows.predict import predict_volume
from asem.workflows.segment import segment_volume
from asem.workflows.train import train_model

SHAPE: IntZYX = (96, 224, 400)
VOXEL_SIZE: NmZYX = (10.0, 10.0, 10.0)
TRAIN_ROI, VALIDATION_ROI, TEST_ROI = ":,:,:248", ":,:,248:288", ":,:,288:"
"""Disjoint parts along x."""
MIN_OBJECT_VOXELS = 1000
DEFAULT_ITERATIONS, VALIDATIONS = 300, 3
SEED = 7
SCORE_NAMES = {"f1": "F1", "precision": "precision", "recall": "recall", "iou": "IoU"}

TRAINING_TEMPLATE = """\
# A small network, trained for the time of a coffee. A real one: README, "Use it on your data".
structure = "mito"
voxel_size = [10, 10, 10]
iterations = {iterations}
validate_every = {validate_every}
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
    folder: Path,
    *,
    iterations: int = DEFAULT_ITERATIONS,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Generate a cell, import, train, predict, segment, score, export and report.

    Parameters
    ----------
    folder
        The folder to create.
    iterations
        Of the training; fewer than the default give a lower score sooner.
    overwrite
        Delete an existing demo at `folder`.
    progress
        Progress callback.

    Returns
    -------
    dict
        ``report`` (HTML), ``cell``, ``segmentation``, ``planes`` (of the segmentation, TIFF) and
        ``training_file``, as paths; ``f1`` (test part, outside of the exclusion zone), ``scores``
        and ``seconds``.

    Raises
    ------
    ValueError
        `iterations` is out of range.
    FileExistsError
        `folder` exists and may not be deleted.
    BlockingIOError
        Another process writes a demo there.
    """
    if not 1 <= iterations <= MAX_COUNT:
        given = shorten(iterations, str)
        raise ValueError(f"--iterations {given}: give a whole number from 1 to {MAX_COUNT}")
    training_text = TRAINING_TEMPLATE.format(
        train=TRAIN_ROI,
        validate=VALIDATION_ROI,
        iterations=iterations,
        validate_every=-(-iterations // VALIDATIONS),
    ).encode()
    with lock_demo_folder(folder, training_text, overwrite=overwrite):
        result = _run_steps(folder, training_text, progress)
        delete_journal(folder)
    return result


def _run_steps(folder: Path, training_text: bytes, progress: Progress) -> dict[str, Any]:
    start_time = time.monotonic()
    stacks = write_tiff_stacks(folder)
    cell = folder / CELL_GROUP
    raw, labels = cell / "raw", cell / "labels" / "mito"
    import_volume(stacks["raw"], raw, voxel_size=VOXEL_SIZE, progress=progress)
    import_volume(stacks["mito"], labels, voxel_size=VOXEL_SIZE, kind="labels", progress=progress)
    training_file = folder / TRAINING_TOML
    with replace_file_nofollow(training_file) as file:
        file.write(training_text)
    run = folder / RUN_FOLDER
    train_model(training_file, out=run, progress=progress)
    probability = cell / "predictions" / "mito" / "probability"
    segmentation = cell / "predictions" / "mito" / "segmentation"
    predict_volume(run, raw, probability, progress=progress)
    segment_volume(probability, segmentation, min_size=MIN_OBJECT_VOXELS, progress=progress)
    scores = evaluate_volume(
        segmentation, labels, structure_name="mito", roi=TEST_ROI, progress=progress
    )
    planes = folder / TIFF_FOLDER / "segmentation"
    export_volume(segmentation, planes, progress=progress)
    seconds = time.monotonic() - start_time
    report = folder / REPORT_FILE
    write_html_report(
        report,
        "asem demo",
        summary=_format_summary(seconds),
        scores=scores,
        figures=_make_figures(cell, run),
    )
    return {
        "report": str(report),
        "cell": str(cell),
        "segmentation": str(segmentation),
        "planes": str(planes),
        "training_file": str(training_file),
        "f1": scores["exclusion_zone"]["f1"],
        "scores": scores,
        "seconds": round(seconds, 1),
    }


def format_demo_summary(result: Mapping[str, Any]) -> str:
    """Return a text with the scores and outputs of the demo.

    Parameters
    ----------
    result
        From `run_demo`.
    """
    outside_zone = result["scores"]["exclusion_zone"]
    scores = ", ".join(
        f"{name} {_format_score(outside_zone[key])}" for key, name in SCORE_NAMES.items()
    )
    all_voxels = _format_score(result["scores"]["all"]["f1"])
    minutes = result["seconds"] / 60
    return f"""\
The demo is finished: a synthetic cell went through the whole method in {minutes:.1f} minutes.
Scores of the mitochondria in the test part of the cell, which training did not use:
    {scores}
outside of the exclusion zone around the borders of the labels. F1 of all voxels: {all_voxels}.

Open next:
    {result["report"]}
        the report in a browser: figures, loss curves, scores
    asem info {shlex.quote(result["segmentation"])}
        properties and provenance of the segmentation
    napari {shlex.quote(result["cell"])}
        raw, labels and prediction in 3D; needs pip install 'asem[napari]'
    {result["planes"]}
        the segmentation as TIFF planes, for Fiji and other programs

Your own data: follow "Use it on your data" in README; {result["training_file"]} is the
training file of this demo.
"""


def _format_score(score: float | None) -> str:
    return "undefined" if score is None else f"{score:.3f}"


def write_tiff_stacks(folder: Path) -> dict[str, Path]:
    """Write the synthetic cell as two folders of TIFF planes, as a microscope does.

    Returns
    -------
    dict
        The folders, by name: ``raw`` and ``mito``.
    """
    raw, mitochondria = make_synthetic_cell(SHAPE, VOXEL_SIZE, np.random.default_rng(SEED))
    stacks: dict[str, npt.NDArray[Any]] = {"raw": raw, "mito": mitochondria}
    paths = {name: folder / TIFF_FOLDER / name for name in stacks}
    for name, planes in stacks.items():
        paths[name].mkdir(parents=True)
        for number, plane in enumerate(planes):
            write_plane(paths[name] / f"{name}_{number:04d}.tif", plane, VOXEL_SIZE[1:])
    return paths


def _format_summary(seconds: float) -> str:
    z, y, x = per_axis(lambda voxels, size: voxels * size / 1000, SHAPE, VOXEL_SIZE)
    return (
        f"A synthetic box of cytoplasm, {z:.2g} x {y:.2g} x {x:.2g} µm in voxels of 10 nm: trained "
        f"on its left part, scored on its right part ({TEST_ROI}), which training did not use. "
        f"The demo took {seconds / 60:.1f} minutes."
    )


def _make_figures(cell: Path, run: Path) -> list[ReportFigure]:
    """Return overlays of the test planes with most labels, and the loss curves."""
    raw, labels, segmentation = (
        open_volume(cell / name) for name in ("raw", "labels/mito", "predictions/mito/segmentation")
    )
    part = parse_roi(TEST_ROI, SHAPE)
    labelled = labels.read(part) > 0
    z, y = (int(labelled.sum(axes).argmax()) for axes in ((1, 2), (0, 2)))
    planes = {
        f"Plane z = {z}": Roi((z, *part.offset[1:]), (1, *part.shape[1:])),
        f"Plane y = {y}": Roi((0, y, part.offset[2]), (part.shape[0], 1, part.shape[2])),
    }
    figures = []
    for title, roi in planes.items():
        grey, truth, predicted = (
            volume.read(roi).squeeze() for volume in (raw, labels, segmentation)
        )
        overlay = plot_overlay(
            grey, truth > 0, predicted > 0, window=(0, 255), pixel_nm=VOXEL_SIZE[1:]
        )
        figures.append(ReportFigure(f"{title}, test part", encode_png_data_url(overlay)))
    curves = plot_loss_curves(read_run_state(run).metrics)
    return [*figures, ReportFigure("Training", encode_png_data_url(curves))]
