"""Commands that train networks: train, finetune."""

from pathlib import Path

from asem.cli.options import (
    DEFAULT_OUTPUT,
    Flag,
    OptionalOutput,
    OutputOptions,
)
from asem.cli.printing import print_result
from asem.cli.progress import show_progress


def train(
    config: Path,
    /,
    *,
    out: OptionalOutput = None,
    overwrite: Flag = False,
    resume: Flag = False,
    resume_at: int | None = None,
    no_resample: Flag = False,
    mlflow: str | None = None,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Train a network for one structure; run the same command again to resume.

    Parameters
    ----------
    config
        Training file (TOML).
    out
        Run directory; by default runs/ and the name of CONFIG.
    overwrite
        Delete the run at OUT.
    resume
        Resume the run at OUT, finished or not; CONFIG may have changed in iterations,
        validate_every, devices, accumulate and compile.
    resume_at
        Resume from the checkpoint of this iteration; later checkpoints are deleted.
    no_resample
        Stop with an error if the data has another voxel size than the model, instead of resampling.
    mlflow
        Log metrics to MLflow, too: the address of a server or database, or local for mlflow.db next
        to the run directory.
    """
    from asem.workflows.train import train_model

    with show_progress() as report_progress:
        result = train_model(
            config,
            out=out,
            overwrite=overwrite,
            resume=resume,
            resume_at=resume_at,
            resample=not no_resample,
            mlflow=mlflow,
            progress=report_progress,
        )
    print_result(result, as_json=output_options.json)


def finetune(
    checkpoint: Path,
    config: Path,
    /,
    *,
    out: OptionalOutput = None,
    overwrite: Flag = False,
    resume: Flag = False,
    no_resample: Flag = False,
    mlflow: str | None = None,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Fine-tune a trained network on annotations of another cell.

    Parameters
    ----------
    checkpoint
        Run directory (the first checkpoint of its fit regime), a checkpoint, or a converted model.
    config
        Training file with the regions; settings that it leaves out are those of CHECKPOINT.
    out
        Run directory; by default runs/ and the name of CONFIG.
    overwrite
        Delete the run at OUT.
    resume
        Resume the run at OUT, finished or not.
    no_resample
        Stop with an error if the data has another voxel size than the model, instead of resampling.
    mlflow
        Log metrics to MLflow, too: the address of a server or database, or local for mlflow.db next
        to the run directory.
    """
    from asem.workflows.train import finetune_model

    with show_progress() as report_progress:
        result = finetune_model(
            checkpoint,
            config,
            out=out,
            overwrite=overwrite,
            resume=resume,
            resample=not no_resample,
            mlflow=mlflow,
            progress=report_progress,
        )
    print_result(result, as_json=output_options.json)
