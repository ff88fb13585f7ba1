"""Predict volumes with trained networks, block by block, on whatever devices there are."""

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asem.blocks.executors import SERIAL, Executor, Threads
from asem.blocks.journal import Journals
from asem.blocks.memory import keep_memory
from asem.blocks.output import Output, new_image
from asem.blocks.run import Progress, run_blocks, silent
from asem.blocks.shares import Shares
from asem.image.clahe import equalized, measure_mappings
from asem.model.device import Precision
from asem.model.predictor import STAGES, Predictor
from asem.system.npz import Form
from asem.volume.formats import open_volume
from asem.volume.roi import Roi
from asem.volume.volume import Volume
from asem.workflows.predict_jobs import InputJob, PredictJobs, one_job
from asem.workflows.predict_plan import COMMAND, Plan, is_made

LOG = logging.getLogger(__name__)
BLOCKS_PER_DEVICE = {"cpu": 1, "cuda": 3}
"""At a time. Beside a GPU one is read, one computed, one stored; a network on a CPU takes all cores
and nearly all of the time, and further blocks would only take memory."""


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
    overlap: while a GPU computes one, others are read and stored.

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
    The processes that compute keep the memory they free within a block (`keep_memory`); in one with
    threads of its own, ``MALLOC_ARENA_MAX=1`` in the environment lets them do so.
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
    plans = []
    for job in jobs.input:
        plan = Plan.of(job, device=jobs.device, overwrite=overwrite, executor=executor)
        left = []
        for model in plan.models:
            if not overwrite and is_made(model):
                LOG.info("%s is finished already", model.job.out)
            else:
                left.append(model)
        if left:
            plans.append(replace(plan, models=tuple(left)))
            plans[-1].check_ways(overwrite=overwrite)
    for plan in plans:
        carry_out(plan, overwrite=overwrite, executor=executor, progress=progress)
    return [model.out for job in jobs.input for model in job.model]


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
    plan.check_ways(overwrite=overwrite)
    executor.ask(keep_memory)
    shares = Shares(progress)
    here = executor is SERIAL
    for model in plan.models:
        network = model.network
        LOG.info("%s: precision %s, tile %d", model.job.out, network.precision, network.tile)
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
                    inputs=[plan.raw, plan.mask],
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
        blocks = first.shards(plan.shards)
        work = Predictor(
            raw=raw,
            part=plan.part,
            networks=tuple(model.network for model in plan.models),
            targets=tuple(output.array for output in outputs),
            done=tuple(_done(output, blocks) for output in outputs),
            devices=plan.devices,
            found=first.partials("stages"),
            mask=plan.mask,
            told=shares.of if here else None,
        )
        # Set once for all threads: "32" is not 19 bits, as in `Runner`.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            run_blocks(
                work,
                blocks,
                Journals([output.journal for output in outputs]),
                stage=COMMAND,
                executor=_threads(plan, shares) if here else executor,
                progress=shares.between,
            )
        facts = _facts(work, blocks, lanes=plan.lanes if here else 1)
        for output in outputs:
            output.facts |= {"seconds": round(time.monotonic() - started, 1), **facts}


def _threads(plan: Plan, shares: Shares) -> Threads:
    kind = torch.device(plan.devices.mine()[0]).type
    return Threads(BLOCKS_PER_DEVICE[kind] * plan.lanes, shares.stopped.set)


def _done(output: Output, blocks: Sequence[Roi]) -> frozenset[Roi]:
    return frozenset(block for block in blocks if f"{COMMAND} {block}" in output.journal.done)


def _facts(work: Predictor, blocks: Sequence[Roi], lanes: int) -> dict[str, Any]:
    """Return what the blocks left behind, of all the runs that it took.

    The stage that was waited for is the one that took longest: stages of several blocks overlap,
    each of them one at a time, but the network on as many devices as there are.
    """
    seconds, voxels = np.zeros(len(STAGES)), 0
    forms = {
        "seconds": Form("f", (len(STAGES),)),
        "voxels": Form("i"),
        "tiles": Form("i", (len(work.networks),)),
        "devices": Form("U", (None,)),
    }
    devices, smaller = set[str](), defaultdict[str, list[str]](list)
    for block in blocks:
        found = work.found.find(block, **forms)
        if found is None:
            continue
        seconds, voxels = seconds + found["seconds"], voxels + int(found["voxels"])
        devices.update(map(str, found["devices"]))
        for tile, one in zip(found["tiles"].tolist(), work.networks, strict=True):
            if 0 < tile < one.tile:
                smaller[str(tile)].append(str(block))
    if not voxels:
        LOG.warning("the mask leaves nothing of what was to be predicted; all of it is 0")
    busy = dict(zip(STAGES, seconds.tolist(), strict=True))
    waited = {stage: spent / (lanes if stage == "network" else 1) for stage, spent in busy.items()}
    facts: dict[str, Any] = {
        "devices": sorted(devices),
        "voxels": voxels,
        "stages": {
            stage: {
                "seconds": round(spent, 2),
                "voxels_per_second": round(voxels / spent) if spent else None,
            }
            for stage, spent in busy.items()
        },
        "bottleneck": max(waited, key=lambda stage: waited[stage]),
    }
    if smaller:
        facts["smaller_tiles"] = dict(smaller)
    return facts
