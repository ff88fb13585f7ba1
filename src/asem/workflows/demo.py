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
from asem.phantom.synthetic_cell import make_synthetic_cell
from asem.system.nofollow_files import replace_file_nofollow
from asem.volume.roi import IntZYX
from asem.volume.tiff_sources import write_plane
from asem.workflows.demo_folder import (
    CELL_GROUP,
    MESHES_FOLDER,
    OBJECTS_FOLDER,
    REPORT_FILE,
    RUN_FOLDER,
    SCORES_FOLDER,
    TIFF_FOLDER,
    TRAINING_TOML,
    lock_demo_folder,
)
from asem.workflows.evaluate import evaluate_predictions
from asem.workflows.evaluation_inputs import SINGLE, EvaluationOptions
from asem.workflows.exporting import export_volume
from asem.workflows.importing import import_volume
from asem.workflows.instances import label_instances
from asem.workflows.measure import measure_instances
from asem.workflows.mesh import mesh_instances
from asem.workflows.predict import predict_volume
from asem.workflows.report import write_report
from asem.workflows.segment import segment_volume
from asem.workflows.train import train_model

SHAPE: IntZYX = (96, 224, 400)
VOXEL_SIZE: NmZYX = (10.0, 10.0, 10.0)
TRAIN_ROI, VALIDATION_ROI, TEST_ROI = ":,:,:248", ":,:,248:288", ":,:,288:"
"""Disjoint parts along x."""
MIN_OBJECT_VOXELS = 1000
DEFAULT_ITERATIONS, VALIDATIONS = 300, 3
SEED = 7
CUBE_NM = 400.0
"""Edge of the cubes of the intervals: the test part has few of the usual ones."""
TITLE = "asem demo: mitochondria of a synthetic cell"
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
    """Generate a cell, import, train, predict, segment, measure, score, export and report.

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
        ``report`` (HTML), ``cell``, ``segmentation``, ``objects`` (tables), ``planes`` (of the
        segmentation, TIFF) and ``training_file``, as paths; ``f1`` (test part, outside of the
        exclusion zone), ``scores`` and ``seconds``.

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
    _measure_objects(segmentation, raw, folder, progress)
    scores = _score(segmentation, labels, folder / SCORES_FOLDER, progress)
    planes = folder / TIFF_FOLDER / "segmentation"
    export_volume(segmentation, planes, progress=progress)
    report = folder / REPORT_FILE
    write_report([folder], report, title=TITLE)
    seconds = time.monotonic() - start_time
    return {
        "report": str(report),
        "cell": str(cell),
        "segmentation": str(segmentation),
        "objects": str(folder / OBJECTS_FOLDER),
        "planes": str(planes),
        "training_file": str(training_file),
        "f1": scores["exclusion_zone"]["f1"],
        "scores": {key: scores[key] for key in ("exclusion_zone", "all", "zone")},
        "seconds": round(seconds, 1),
    }


def _measure_objects(segmentation: Path, raw: Path, folder: Path, progress: Progress) -> None:
    """Count and mesh the objects, beside their segmentation, and measure them."""
    instances = segmentation.with_name("instances")
    label_instances(segmentation, instances, progress=progress)
    mesh_instances(instances, folder / MESHES_FOLDER, progress=progress)
    measure_instances(instances, folder / OBJECTS_FOLDER, raw=raw, progress=progress)


def _score(segmentation: Path, labels: Path, out: Path, progress: Progress) -> dict[str, Any]:
    """Score the test part, with objects, curves and intervals; return the scores."""
    options = EvaluationOptions(
        structure_name="mito",
        roi=TEST_ROI,
        objects=True,
        curves=True,
        boundary=True,
        cube_nm=CUBE_NM,
    )
    named = {SINGLE: segmentation}
    return evaluate_predictions(named, labels, options, out=out, progress=progress)[SINGLE]


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
        the report in a browser: pictures, scores, objects, loss curves
    asem info {shlex.quote(result["segmentation"])}
        properties and provenance of the segmentation
    asem view {shlex.quote(result["cell"])} --open
        raw, labels, objects and their meshes in a browser; needs pip install 'asem[view]'
    napari {shlex.quote(result["cell"])}
        the same in napari; needs pip install 'asem[napari]'
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
