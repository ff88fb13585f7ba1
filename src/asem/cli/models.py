"""The verbs `asem models`: convert, list, export."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from asem.cli.common import PLAIN, Flag, Shown, json_text, show, voxel_size_of


def build() -> App:
    """Return `asem models` with its verbs."""
    app = App(name="models", help="Published models in, models for other programs out.")
    app.command(list_, name="list")
    app.command(convert, name="convert")
    app.command(export, name="export")
    return app


def list_(*, shown: Shown = PLAIN) -> None:
    """List the published models: number, structure, preparation of the cells, voxel size.

    A voxel size with a range, 3.2-5.24 x 4 x 4 nm, is that of data which is predicted without
    resampling.
    """
    from asem.model.published import PREPARATIONS, PUBLISHED, WHERE
    from asem.model.voxel_range import range_text

    if shown.json:
        models = [
            {
                "number": model.number,
                "structure": model.structure,
                "preparation": model.preparation,
                "voxel_size": list(model.voxel_size),
                "voxel_size_range": model.voxel_size_range and list(model.voxel_size_range),
            }
            for model in PUBLISHED
        ]
        result = {"models": models, "preparations": PREPARATIONS, "published_at": WHERE}
        sys.stdout.write(json_text(result) + "\n")
        return
    table = Table("number", "structure", "preparation", "voxel size, nm", box=None, pad_edge=False)
    for model in PUBLISHED:
        size = range_text(model.voxel_size, model.voxel_size_range)
        table.add_row(str(model.number), model.structure, model.preparation, size)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    for short, long in PREPARATIONS.items():
        console.print(f"{short}: {long}")
    console.print(f"Published at {WHERE}, folder models; get a file there, then")
    console.print("asem models convert FILE DST --published NUMBER", markup=False)


def convert(
    file: Path,
    destination: Path,
    /,
    *,
    structure: str | None = None,
    voxel_size: str | None = None,
    published: int | None = None,
    overwrite: Flag = False,
    shown: Shown = PLAIN,
) -> None:
    """Turn a checkpoint of the published pipeline into a model for asem predict.

    Parameters
    ----------
    file
        The checkpoint, a PyTorch file; nothing but tensors in it is ever loaded.
    destination
        The folder to write, for instance models/mito.
    structure
        What it finds: mito, golgi, er, npc, ccp, or a TOML file.
    voxel_size
        Of the images that it was trained on, nm: z,y,x or one number. Data of any other is
        resampled.
    published
        Number of the published model that it is (asem models list): states the two above, which
        override it where they are given.
    overwrite
        Replace a converted model at DESTINATION.
    """
    from asem.workflows.models import convert_model

    result = convert_model(
        file,
        destination,
        structure=structure,
        voxel_size=None if voxel_size is None else voxel_size_of(voxel_size),
        published=published,
        overwrite=overwrite,
    )
    show(result, as_json=shown.json)


def export(
    checkpoint: Path,
    destination: Path,
    /,
    *,
    format: Literal["onnx", "bioimageio"],  # noqa: A002 - the option's name
    author: Annotated[list[str] | None, Parameter(negative="")] = None,
    license: str | None = None,  # noqa: A002 - the option's name
    overwrite: Flag = False,
    shown: Shown = PLAIN,
) -> None:
    """Write a network for other programs: ONNX, or a bioimage.io package.

    Parameters
    ----------
    checkpoint
        A run directory of asem train, one of its checkpoints, or a converted model.
    destination
        The file to write, for instance mito.onnx or mito.zip.
    format
        onnx takes raw in [-1, 1]; bioimageio takes 8-bit raw. Both give the probability.
    author
        Who made the model, for the package; may be given several times.
    license
        Under which it may be used, for the package: an SPDX identifier such as CC-BY-4.0.
    overwrite
        Replace the file at DESTINATION, if asem exported it.
    """
    from asem.workflows.models import export_model

    result = export_model(
        checkpoint,
        destination,
        format=format,
        authors=author or (),
        license_id=license,
        overwrite=overwrite,
    )
    show(result, as_json=shown.json)
