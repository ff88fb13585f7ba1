"""Score predictions against labels, block by block (`asem evaluate`)."""

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asem.blocks.executors import SERIAL_EXECUTOR, Executor, SerialExecutor
from asem.blocks.results_folder import (
    ResultsFolder,
    check_results_destination,
    create_results,
)
from asem.blocks.run_blocks import Progress, no_progress
from asem.image.morphology import ElementShape
from asem.volume.address import AddressLike
from asem.volume.block_grid import split_into_blocks
from asem.volume.id_selection import IdSelection
from asem.volume.replaced_inputs import check_not_replaced
from asem.volume.volume import Volume
from asem.workflows.evaluation_inputs import (
    SINGLE,
    EvaluationOptions,
    ScoredPair,
    open_pairs,
)
from asem.workflows.evaluation_results import FILES, write_results
from asem.workflows.evaluation_scores import Evaluation, evaluate_pair, plan_evaluation
from asem.workflows.evaluation_stages import BlockRunner
from asem.workflows.probability_check import check_probability

BLOCK_SHAPE = (256, 256, 256)


def evaluate_volume(
    prediction: AddressLike,
    labels: AddressLike,
    *,
    structure_name: str | None = None,
    zone_out_nm: float | None = None,
    zone_in_nm: float | None = None,
    zone_shape: ElementShape = "diamond",
    mask: AddressLike | None = None,
    roi: str | None = None,
    ids: IdSelection | None = None,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Score a prediction on the voxels that it shares with the labels (and the mask).

    Parameters
    ----------
    prediction
        A segmentation (foreground: not 0) or a probability (foreground: 128 and more).
    labels
        Ground truth; unlabelled voxels (the maximum of the dtype) are not scored.
    structure_name
        Preset of the exclusion zone, or a TOML file with one (`asem.structures.Structure`).
    zone_out_nm, zone_in_nm
        Widths of the zone in nm, both, in place of `structure_name`.
    zone_shape
        ``"diamond"`` as in the paper, or ``"ball"``, which is wider: report it with the score.
    mask
        Sample mask; only voxels that are not 0 in it are scored.
    roi
        Part of the prediction to score, ``z0:z1,y0:y1,x0:x1``.
    ids
        Ids of `labels` that are foreground, others are background; None: all ids are foreground.
    progress
        Progress callback.

    Returns
    -------
    dict
        ``exclusion_zone`` (scores outside of the zone; None without one) and ``all``, each with
        precision, recall, f1, iou and voxels; ``zone``, widths and shape of the zone; of a
        probability also ``average_precision``, outside of the zone and of all voxels.
    """
    options = EvaluationOptions(
        structure_name=structure_name,
        zone_out_nm=zone_out_nm,
        zone_in_nm=zone_in_nm,
        zone_shape=zone_shape,
        mask=mask,
        roi=roi,
        ids=ids,
    )
    return evaluate_predictions({SINGLE: prediction}, labels, options, progress=progress)[SINGLE]


def evaluate_predictions(
    predictions: Mapping[str, AddressLike],
    labels: AddressLike,
    options: EvaluationOptions,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    executor: Executor = SERIAL_EXECUTOR,
    progress: Progress = no_progress,
) -> dict[str, dict[str, Any]]:
    """Score predictions on the voxels that all of them share with the labels (and the mask).

    Parameters
    ----------
    predictions
        Segmentations or probabilities, by name.
    labels
        Ground truth; unlabelled voxels (the maximum of the dtype) are not scored.
    options
        What is scored, and how.
    out
        Folder of tables and figures to write, which an interrupted run resumes; None: nothing is
        written, and blocks are computed in this process, or by the workers in a temporary folder.
    overwrite
        Replace earlier results in `out`.
    executor, progress
        Executor of the blocks; progress callback.

    Returns
    -------
    dict
        Scores of each prediction, as JSON values: those of `evaluate_volume`, and where requested
        ``zone_curve``, ``best_threshold``, ``objects``, ``centre_lines``, ``boundary`` and
        ``intervals``.

    Raises
    ------
    ValueError
        An option or an input is invalid, there is no common voxel, or no object to be scored.
    OSError
        An input was replaced meanwhile, or `out` cannot be written.
    """
    pairs = open_pairs(predictions, labels, options)
    plans = [plan_evaluation(pair, options) for pair in pairs]
    if out is not None:  # before probabilities are read
        check_results_destination(out, FILES, overwrite=overwrite)
    for pair in pairs:
        if pair.is_probability:
            address = predictions[pair.name]
            check_probability(address, pair.predicted, pair.roi, progress=progress)
    inputs = [volume for pair in pairs for volume in pair.inputs]
    request = _make_request(pairs, options)
    with _open_output(
        out,
        pairs,
        request=request,
        inputs=inputs,
        overwrite=overwrite,
        executor=executor,
        progress=progress,
    ) as output:
        evaluations: list[Evaluation] = []
        for pair, plan in zip(pairs, plans, strict=True):
            blocks = list(split_into_blocks(pair.roi, BLOCK_SHAPE))
            runner = BlockRunner(pair, blocks, output, progress)
            evaluations.append(evaluate_pair(runner, plan, options))
        if output is not None and out is not None:
            write_results(output, evaluations, pairs)
    if output is None:
        check_not_replaced(inputs)
    return {evaluation.name: evaluation.result for evaluation in evaluations}


def _make_request(pairs: list[ScoredPair], options: EvaluationOptions) -> dict[str, Any]:
    """Return all that determines the scores, as JSON values."""
    fields = {
        field.name: getattr(options, field.name)
        for field in dataclasses.fields(options)
        if field.name not in {"mask", "structure_name"}
    }
    structure, mask = options.load_structure(), pairs[0].mask
    return fields | {
        "ids": None if options.ids is None else str(options.ids),
        "structure": structure and structure.model_dump(mode="json"),
        "predictions": {pair.name: pair.predicted.identity for pair in pairs},
        "labels": pairs[0].labels.identity,
        "mask": mask and mask.identity,
    }


@contextmanager
def _open_output(
    out: Path | None,
    pairs: list[ScoredPair],
    *,
    request: dict[str, Any],
    inputs: list[Volume | None],
    overwrite: bool,
    executor: Executor,
    progress: Progress,
) -> Iterator[ResultsFolder | None]:
    """Create the folder of results; a temporary one for workers; None for this process."""
    if out is None and isinstance(executor, SerialExecutor):
        yield None
        return
    with (
        tempfile.TemporaryDirectory(prefix="asem-evaluate-") as temporary,
        create_results(
            Path(temporary, "results") if out is None else out,
            pairs[0].roi,
            files=FILES,
            command="evaluate",
            request=request,
            inputs=inputs,
            overwrite=overwrite,
            executor=executor,
            progress=progress,
        ) as output,
    ):
        yield output
