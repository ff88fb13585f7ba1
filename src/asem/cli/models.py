"""Commands `asem models`: list, convert, export."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter
from rich.console import Console
from rich.table import Table

from asem.cli.options import (
    DEFAULT_OUTPUT,
    Flag,
    OutputOptions,
    OutputPath,
    parse_voxel_size,
    with_preset_names,
)
from asem.cli.printing import print_result, to_json


def build_models_app(group: Group) -> App:
    """Return `asem models` with its subcommands, in a group of ``asem --help``."""
    app = App(name="models", help="List, convert and export trained networks.", group=group)
    app.command(list_models, name="list")
    app.command(convert, name="convert")
    app.command(export, name="export")
    return app


def list_models(*, output_options: OutputOptions = DEFAULT_OUTPUT) -> None:
    """List the seven published models: number, structure, sample preparation, voxel size.

    A model with a range of voxel sizes, 3.2-5.24 x 4 x 4 nm, predicts all data within it without
    resampling.
    """
    from asem.model.published_models import BUCKET_URL, PREPARATIONS, PUBLISHED_MODELS
    from asem.model.voxel_size_range import format_voxel_size_range

    if output_options.json:
        models = [
            {
                "number": model.number,
                "structure": model.structure,
                "preparation": model.preparation,
                "voxel_size": list(model.voxel_size),
                "voxel_size_range": model.voxel_size_range and list(model.voxel_size_range),
            }
            for model in PUBLISHED_MODELS
        ]
        result = {"models": models, "preparations": PREPARATIONS, "published_at": BUCKET_URL}
        sys.stdout.write(to_json(result) + "\n")
        return
    table = Table("number", "structure", "preparation", "voxel size, nm", box=None, pad_edge=False)
    for model in PUBLISHED_MODELS:
        size = format_voxel_size_range(model.voxel_size, model.voxel_size_range)
        table.add_row(str(model.number), model.structure, model.preparation, size)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table)
    for short, long in PREPARATIONS.items():
        console.print(f"{short}: {long}")
    console.print(f"Download a file from {BUCKET_URL}, folder models, then run")
    console.print("asem models convert FILE DST --published NUMBER", markup=False)


@with_preset_names
def convert(
    file: Path,
    destination: OutputPath,
    /,
    *,
    structure: str | None = None,
    voxel_size: str | None = None,
    published: int | None = None,
    overwrite: Flag = False,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Convert a checkpoint of the published pipeline to a model for asem predict.

    Parameters
    ----------
    file
        The checkpoint, a PyTorch file; only tensors are loaded, no code is run.
    destination
        Folder of the converted model, for instance models/mito.
    structure
        Structure that it segments: {PRESETS}, or a TOML file.
    voxel_size
        Voxel size of its training images in nm: z,y,x or one number. Data of another voxel size is
        resampled.
    published
        Number of the published model (asem models list), which sets structure and voxel size;
        --structure and --voxel-size override it.
    overwrite
        Replace the converted model at DESTINATION.
    """
    from asem.workflows.models import convert_model

    result = convert_model(
        file,
        destination,
        structure=structure,
        voxel_size=None if voxel_size is None else parse_voxel_size(voxel_size),
        published=published,
        overwrite=overwrite,
    )
    print_result(result, as_json=output_options.json)


def export(
    checkpoint: Path,
    destination: OutputPath,
    /,
    *,
    format: Literal["onnx", "bioimageio"],  # noqa: A002 - the option's name
    author: Annotated[list[str] | None, Parameter(negative="")] = None,
    license: str | None = None,  # noqa: A002 - the option's name
    overwrite: Flag = False,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Export a network for other programs: ONNX, or a bioimage.io package.

    Parameters
    ----------
    checkpoint
        Run directory of asem train (its best checkpoint), a checkpoint, or a converted model.
    destination
        File to write, for instance mito.onnx or mito.zip.
    format
        onnx: input is raw scaled to [-1, 1]; bioimageio: input is 8-bit raw. Both return the
        probability.
    author
        Author of the model, for the package; repeat the option for several.
    license
        License of the model, for the package: an SPDX identifier such as CC-BY-4.0.
    overwrite
        Replace the file at DESTINATION if asem exported it.
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
    print_result(result, as_json=output_options.json)
