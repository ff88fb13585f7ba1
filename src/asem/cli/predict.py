"""The verbs that use a network: predict, segment."""

from pathlib import Path
from typing import Literal

from asem.cli.common import HERE, PLAIN, Flag, Shown, Workers, executing, progress, show


def predict(
    checkpoint: Path | None = None,
    raw: Path | None = None,
    destination: Path | None = None,
    /,
    *,
    jobs: Path | None = None,
    roi: str | None = None,
    mask: Path | None = None,
    threshold: float | None = None,
    mirror: Flag = False,
    device: str | None = None,
    precision: Literal["auto", "32", "bf16"] = "auto",
    tile: int | None = None,
    clahe: Flag = False,
    no_resample: Flag = False,
    dry_run: Flag = False,
    overwrite: Flag = False,
    workers: Workers = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Predict the probability of a structure for every voxel of an image.

    Parameters
    ----------
    checkpoint
        A run directory of asem train (its best checkpoint), one of its checkpoints, or a model of
        asem models convert.
    raw
        The image, for instance cell.zarr/raw.
    destination
        The image to write, for instance cell.zarr/predictions/mito/probability.
    jobs
        Instead of the three: a TOML file of images and networks. Networks of one image share its
        reading; what is finished is left as it is.
    roi
        Predict only these voxels of RAW, z0:z1,y0:y1,x0:x1.
    mask
        An image that is not 0 where the sample is; outside, nothing is computed and all is 0.
    threshold
        Write where the probability reaches this (labels, 0 and 1), not the probability.
    mirror
        Take the mean over eight mirror images; eight times as slow.
    device
        auto (all GPUs, or the CPU), cpu, cuda or cuda:N.
    precision
        auto, 32 or bf16.
    tile
        Edge of what one forward pass keeps, in model voxels; less takes less memory.
    clahe
        Equalize RAW's contrast on the fly: for networks that were trained on asem clahe's output.
    no_resample
        Refuse where RAW's voxel size is not the network's, instead of resampling there and back.
    dry_run
        Say what it would take (blocks, seconds, memory, disk) and write nothing.
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.workflows.predict import predict_input, predict_jobs
    from asem.workflows.predict_estimate import estimate
    from asem.workflows.predict_jobs import PredictJobs, one_job

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
    if jobs is not None:
        given = [key for key, value in options.items() if value != plain.get(key)]
        if checkpoint is not None or given:
            what = f"--{given[0]}" if given else "CHECKPOINT"
            what = "--no-resample" if what == "--resample" else what
            raise ValueError(f"{what} and --jobs do not go together; write it into {jobs}")
        wanted = PredictJobs.from_toml(jobs)
    elif checkpoint is None or raw is None or destination is None:
        raise ValueError("name CHECKPOINT, RAW and DESTINATION, or a file of --jobs")
    else:
        wanted = PredictJobs(input=(one_job(checkpoint, raw, destination, **options),))
    if device is not None:
        wanted = wanted.model_copy(update={"device": device})
    with executing(workers) as executor, progress() as told:
        if dry_run:
            found = {
                str(job.raw): estimate(
                    job, device=wanted.device, overwrite=overwrite, executor=executor
                )
                for job in wanted.input
            }
            show(found if len(found) > 1 else next(iter(found.values())), as_json=shown.json)
            return
        if jobs is not None:
            predict_jobs(wanted, overwrite=overwrite, executor=executor, progress=told)
        else:
            predict_input(
                wanted.input[0],
                device=wanted.device,
                overwrite=overwrite,
                executor=executor,
                progress=told,
            )
    outputs = [str(one.out) for job in wanted.input for one in job.model]
    show({"outputs": outputs}, as_json=shown.json)


def segment(
    probability: Path,
    destination: Path,
    /,
    *,
    threshold: float = 0.5,
    mask: Path | None = None,
    min_size: int = 0,
    overwrite: Flag = False,
    workers: Workers = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Cut a probability into foreground (1) and background (0).

    Parameters
    ----------
    probability
        The image that asem predict wrote.
    destination
        The label image to write, for instance cell.zarr/predictions/mito/segmentation.
    threshold
        Foreground is what reaches it.
    mask
        An image that is not 0 where the sample is; outside is background.
    min_size
        Drop connected objects of fewer voxels.
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.workflows.segment import segment_volume

    with executing(workers) as executor, progress() as told:
        volume = segment_volume(
            probability,
            destination,
            threshold=threshold,
            mask=mask,
            min_size=min_size,
            overwrite=overwrite,
            executor=executor,
            progress=told,
        )
    show({"segmentation": str(destination), "shape": list(volume.shape)}, as_json=shown.json)
