"""Predict volumes with trained networks, block by block, on whatever devices there are."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from asem.blocks.executors import SERIAL, Executor, Threads
from asem.blocks.journal import Journals
from asem.blocks.output import new_image
from asem.blocks.run import Progress, run_blocks, silent
from asem.blocks.shares import Shares
from asem.image.clahe import equalized, measure_mappings
from asem.model.device import Precision
from asem.model.predictor import STAGES, Devices, Predictor
from asem.volume.formats import open_volume
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows.predict_plan import COMMAND, InputJob, Plan, PredictJobs, is_made, one_job

LOG = logging.getLogger(__name__)
BLOCKS_PER_DEVICE = 3
"""At a time: one is read, one computed, one stored."""


def predict_volume(
    checkpoint: Path,
    raw: Path,
    destination: Path,
    *,
    roi: str | None = None,
    mask: Path | None = None,
    threshold: float | None = None,
    mirror: bool = False,
    device: str = "auto",
    precision: Precision = "auto",
    tile: int | None = None,
    clahe: bool = False,
    resample: bool = True,
    overwrite: bool = False,
    executor: Executor = SERIAL,
    progress: Progress = silent,
) -> Volume:
    """Predict the probability of foreground for every voxel of a volume.

    Block by block: read with the network's context, resample to the model's voxel size on the
    original grid, predict in tiles on its lattice, write back interpolated to raw's voxels. Blocks
    overlap: while a device computes one, others are read and stored.

    Parameters
    ----------
    checkpoint, raw, roi, mask, threshold, mirror, precision, tile, clahe, resample
        As `ModelJob` and `InputJob` describe them.
    destination
        The image group to write: uint8, rint(255 p); with `threshold` labels, 0 and 1.
    device
        As in `PredictJobs`.
    overwrite
        Replace an image at `destination`.
    executor, progress
        Who computes the blocks, and who is told.

    Returns
    -------
    Volume
        The finished probability.

    Notes
    -----
    On a CPU this process keeps the memory it frees from then on (`keep_memory`).
    """
    job = one_job(
        checkpoint,
        raw,
        destination,
        roi=roi,
        mask=mask,
        threshold=threshold,
        mirror=mirror,
        precision=precision,
        tile=tile,
        clahe=clahe,
        resample=resample,
    )
    predict_input(job, device=device, overwrite=overwrite, executor=executor, progress=progress)
    return open_volume(destination)


def predict_jobs(
    jobs: PredictJobs,
    *,
    overwrite: bool = False,
    executor: Executor = SERIAL,
    progress: Progress = silent,
) -> list[Path]:
    """Predict many images by many networks; those of one image share its reading.

    What is finished already, by the same networks of the same image, is left as it is: a batch that
    was interrupted goes on.

    Parameters
    ----------
    jobs
        Images and networks.
    overwrite
        Begin again, and replace what is there.
    executor, progress
        Who computes the blocks, and who is told.

    Returns
    -------
    list of Path
        The outputs, in the order of the jobs.
    """
    outs = []
    for job in jobs.input:
        outs += [model.out for model in job.model]
        plan = Plan.of(job, device=jobs.device, overwrite=overwrite, executor=executor)
        made = [not overwrite and is_made(model) for model in plan.models]
        for model, done in zip(job.model, made, strict=True):
            if done:
                LOG.info("%s is finished already", model.out)
        left = tuple(model for model, done in zip(plan.models, made, strict=True) if not done)
        if left:
            carry_out(
                replace(plan, models=left),
                overwrite=overwrite,
                executor=executor,
                progress=progress,
            )
    return outs


def predict_input(
    job: InputJob,
    *,
    device: str = "auto",
    overwrite: bool = False,
    executor: Executor = SERIAL,
    progress: Progress = silent,
) -> None:
    """Predict one image by one or several networks, which share its reading."""
    plan = Plan.of(job, device=device, overwrite=overwrite, executor=executor)
    carry_out(plan, overwrite=overwrite, executor=executor, progress=progress)


def carry_out(plan: Plan, *, overwrite: bool, executor: Executor, progress: Progress) -> None:
    """Do what is planned."""
    shares = Shares(progress)
    here = executor is SERIAL
    if here:
        executor = Threads(BLOCKS_PER_DEVICE * len(plan.devices), shares.stopped.set)
    LOG.info(
        "predicting on %s; %s",
        ", ".join(plan.described),
        "; ".join(
            f"{model.job.out}: precision {model.network.precision}, tile {model.network.tile}"
            for model in plan.models
        ),
    )
    started = time.monotonic()
    with ExitStack() as stack:
        outputs = [
            stack.enter_context(
                new_image(
                    model.job.out,
                    plan.template(model),
                    command=COMMAND,
                    request=model.request,
                    sources=[*plan.sources, model.job.checkpoint],
                    overwrite=overwrite,
                    executor=executor,
                    progress=progress,
                )
            )
            for model in plan.models
        ]
        first, raw = outputs[0], plan.raw
        if plan.clahe is not None:
            raw = equalized(raw, measure_mappings(first, raw, plan.clahe))
        work = Predictor(
            raw=raw,
            part=plan.part,
            networks=tuple(model.network for model in plan.models),
            targets=tuple(output.array for output in outputs),
            devices=Devices(plan.devices),
            found=first.partials("stages"),
            mask=plan.mask,
            told=shares.of if here else None,
        )
        blocks = first.shards(plan.shards)
        run_blocks(
            work,
            blocks,
            Journals([output.journal for output in outputs]),
            stage="predict",
            executor=executor,
            progress=shares.between,
        )
        facts = _facts(work, blocks, lanes=max(len(plan.devices), len(plan.described)))
        for output in outputs:
            output.facts |= {
                "device": ", ".join(plan.described),
                "seconds": round(time.monotonic() - started, 1),
                **facts,
            }


def _facts(work: Predictor, blocks: Sequence[Roi], lanes: int) -> dict[str, Any]:
    """Return how long the stages took, in all the runs that it took, and which one was waited for.

    Stages of several blocks overlap, but for the network on each device.
    """
    seconds, voxels, smaller = np.zeros(len(STAGES)), 0, Counter[int]()
    for block in blocks:
        found = work.found.find(block)
        if found is not None:
            seconds, voxels = seconds + found["seconds"], voxels + block.size
            tiles = zip(found["tiles"], work.networks, strict=False)
            smaller.update(int(tile) for tile, one in tiles if tile < one.tile)
    busy = dict(zip(STAGES, seconds.tolist(), strict=True))
    at_once = {stage: lanes * (1 if stage == "network" else BLOCKS_PER_DEVICE) for stage in STAGES}
    stages = {
        stage: {
            "seconds": round(spent, 2),
            "voxels_per_second": round(voxels / spent) if spent else None,
        }
        for stage, spent in busy.items()
    }
    facts = {"stages": stages, "bottleneck": max(STAGES, key=lambda s: busy[s] / at_once[s])}
    if smaller:
        facts["smaller_tiles"] = {str(tile): number for tile, number in smaller.items()}
    return facts
