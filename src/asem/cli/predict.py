"""Commands that apply networks and score the result: predict, segment, evaluate."""

from pathlib import Path
from typing import Literal

from asem.cli.options import (
    DEFAULT_OUTPUT,
    IN_PROCESS,
    Flag,
    ImageAddress,
    NamedPredictions,
    OptionalAddress,
    OptionalIds,
    OptionalOutput,
    OutputOptions,
    OutputPath,
    WorkerOptions,
    open_requested_executor,
    with_preset_names,
)
from asem.cli.printing import print_lines, print_result
from asem.cli.progress import show_progress


def predict(
    checkpoint: Path | None = None,
    raw: OptionalAddress = None,
    destination: OptionalOutput = None,
    /,
    *,
    inputs: Path | None = None,
    roi: str | None = None,
    mask: OptionalAddress = None,
    threshold: float | None = None,
    mirror: Flag = False,
    device: str | None = None,
    precision: Literal["auto", "32", "bf16"] = "auto",
    tile: int | None = None,
    clahe: Flag = False,
    no_resample: Flag = False,
    dry_run: Flag = False,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Predict the probability of a structure in every voxel of an image.

    Parameters
    ----------
    checkpoint
        Run directory of asem train (its best checkpoint), a checkpoint, or a converted model.
    raw
        Image, path or URL; for instance cell.zarr/raw.
    destination
        Image to write, for instance cell.zarr/predictions/mito/probability.
    inputs
        TOML file that lists images and networks, instead of the three arguments. An image is read
        once for all its networks; finished outputs are skipped.
    roi
        Predict only these voxels of RAW, z0:z1,y0:y1,x0:x1.
    mask
        Mask image, path or URL; voxels where it is 0 are not predicted and are 0.
    threshold
        Write labels instead of the probability: 1 where the probability is at least this, else 0.
    mirror
        Test-time augmentation: mean over the eight mirror images; eight times slower.
    device
        auto (all GPUs, or the CPU), cpu, cuda or cuda:N.
    precision
        auto, 32 or bf16.
    tile
        Edge of the output of one forward pass, in voxels of the model; smaller needs less memory.
    clahe
        Apply CLAHE to RAW on the fly, for networks that were trained on the output of asem clahe.
    no_resample
        Stop with an error if RAW has another voxel size than the network, instead of resampling.
    dry_run
        Estimate blocks, time, memory and disk space, and write nothing.
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.workflows.predict import predict_input, predict_inputs
    from asem.workflows.prediction_estimate import estimate_prediction
    from asem.workflows.prediction_inputs import PredictionInputs, make_prediction_input

    options = {
        "roi": roi,
        "mask": mask,
        "threshold": threshold,
        "mirror": mirror,
        "precision": precision,
        "tile": tile,
        "clahe": clahe,
        "resample": not no_resample,
    }
    plain = {"precision": "auto", "mirror": False, "clahe": False, "resample": True}
    if inputs is not None:
        given = [key for key, value in options.items() if value != plain.get(key)]
        if checkpoint is not None or given:
            what = f"--{given[0]}" if given else "CHECKPOINT"
            what = "--no-resample" if what == "--resample" else what
            raise ValueError(f"{what} and --inputs do not go together; write it into {inputs}")
        requested = PredictionInputs.from_toml(inputs, requested_by="--inputs")
    elif checkpoint is None or raw is None or destination is None:
        raise ValueError("name CHECKPOINT, RAW and DESTINATION, or a file with --inputs")
    else:
        requested = PredictionInputs(
            input=(make_prediction_input(checkpoint, raw, destination, **options),)
        )
    if device is not None:
        requested = requested.model_copy(update={"device": device})
    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        if dry_run:
            found = {
                str(prediction.raw): estimate_prediction(
                    prediction, device=requested.device, overwrite=overwrite, executor=executor
                )
                for prediction in requested.input
            }
            print_result(
                found if len(found) > 1 else next(iter(found.values())), as_json=output_options.json
            )
            return
        if inputs is not None:
            predict_inputs(
                requested, overwrite=overwrite, executor=executor, progress=report_progress
            )
        else:
            predict_input(
                requested.input[0],
                device=requested.device,
                overwrite=overwrite,
                executor=executor,
                progress=report_progress,
            )
    outputs = [str(model.out) for prediction in requested.input for model in prediction.model]
    print_result({"outputs": outputs}, as_json=output_options.json)


def segment(
    probability: ImageAddress,
    destination: OutputPath,
    /,
    *,
    threshold: float = 0.5,
    mask: OptionalAddress = None,
    min_size: int = 0,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Threshold a probability into foreground (1) and background (0).

    Parameters
    ----------
    probability
        Probability image of asem predict, path or URL.
    destination
        Label image to write, for instance cell.zarr/predictions/mito/segmentation.
    threshold
        Voxels of at least this probability are foreground.
    mask
        Mask image, path or URL; voxels where it is 0 are background.
    min_size
        Remove connected objects of fewer voxels.
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.workflows.segment import segment_volume

    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        volume = segment_volume(
            probability,
            destination,
            threshold=threshold,
            mask=mask,
            min_size=min_size,
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    print_result(
        {"segmentation": str(destination), "shape": list(volume.shape)}, as_json=output_options.json
    )


@with_preset_names
def evaluate(
    prediction: ImageAddress,
    labels: OptionalAddress = None,
    /,
    *,
    predictions: NamedPredictions = (),
    structure: str | None = None,
    zone_out_nm: float | None = None,
    zone_in_nm: float | None = None,
    zone_shape: Literal["diamond", "ball"] = "diamond",
    mask: OptionalAddress = None,
    roi: str | None = None,
    ids: OptionalIds = None,
    objects: Flag = False,
    boundary: Flag = False,
    curves: Flag = False,
    out: OptionalOutput = None,
    curve_nm: float | None = None,
    centre_line_nm: float | None = None,
    max_distance_nm: float = 200,
    cube_nm: float | None = None,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Score predictions: voxels, with and without the exclusion zone, objects and boundaries.

    Parameters
    ----------
    prediction
        Segmentation, instances, or probability (at least 0.5 is foreground); path or URL.
    labels
        Ground truth labels, path or URL; only the overlap with PREDICTION is scored. Where
        predictions are named with --prediction, it may be the only argument.
    predictions
        NAME=PATH of one more prediction; give it several times to compare predictions, on the
        voxels that all of them share.
    structure
        Preset of the exclusion zone: {PRESETS}, or a TOML file.
    zone_out_nm
        Width of the zone outside the borders of the labels, nm.
    zone_in_nm
        Width of the zone inside the borders, nm.
    zone_shape
        Shape of the zone: diamond as in the paper, or ball, which is wider; report it with the
        score.
    mask
        Mask image, path or URL; voxels where it is 0 are not scored.
    roi
        Score only these voxels of (the first) PREDICTION, z0:z1,y0:y1,x0:x1.
    ids
        Ids of LABELS that are the structure, for instance 3,5-7; others are background.
    objects
        Also score objects: precision, recall, panoptic quality, variation of information, splits.
    boundary
        Also measure the distances between the boundaries of prediction and labels.
    curves
        Also score over the width of the exclusion zone and the threshold of a probability.
    out
        Folder to write: tables (CSV, Parquet) and figures of all of these scores.
    curve_nm
        Largest width of the exclusion zone in the curve, nm; by default twice that of the zone.
    centre_line_nm
        Also score objects along their centre lines, covered within this distance, nm; by default
        for the structures npc and ccp, within 15 nm.
    max_distance_nm
        Largest distance of boundaries that is measured, nm.
    cube_nm
        Edge of the cubes that the bootstrap of confidence intervals draws, nm; by default 1000, or
        larger where there would be more than 1000 cubes.
    overwrite
        Replace earlier results in the folder.
    """
    from asem.cli.evaluation_table import format_evaluation, name_predictions
    from asem.workflows.evaluate import evaluate_predictions
    from asem.workflows.evaluation_inputs import SINGLE, EvaluationOptions

    named, truth = name_predictions(prediction, labels, predictions, single=SINGLE)
    if workers.scheduler is not None and out is None:
        raise ValueError("--scheduler needs --out, a folder that all workers can write")
    options = EvaluationOptions(
        structure_name=structure,
        zone_out_nm=zone_out_nm,
        zone_in_nm=zone_in_nm,
        zone_shape=zone_shape,
        mask=mask,
        roi=roi,
        ids=ids,
        objects=objects or out is not None or centre_line_nm is not None,
        boundary=boundary or out is not None,
        curves=curves or out is not None or curve_nm is not None,
        max_width_nm=curve_nm,
        centre_line_nm=centre_line_nm,
        max_distance_nm=max_distance_nm,
        cube_nm=cube_nm,
    )
    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        results = evaluate_predictions(
            named,
            truth,
            options,
            out=out,
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    result = results.get(SINGLE, {"predictions": results})
    if out is not None:
        result = {**result, "out": str(out)}
    print_lines(format_evaluation(result), result, as_json=output_options.json)
