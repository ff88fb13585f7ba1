"""Commands that measure segmentations: instances, measure, mesh."""

from typing import Annotated

from cyclopts import Parameter

from asem.cli.options import (
    DEFAULT_OUTPUT,
    IN_PROCESS,
    Flag,
    ImageAddress,
    MeshFormatName,
    OptionalAddress,
    OptionalIds,
    OptionalOutput,
    OutputOptions,
    OutputPath,
    WorkerOptions,
    open_requested_executor,
    with_preset_names,
)
from asem.cli.printing import print_result
from asem.cli.progress import show_progress
from asem.structures import DEFAULT_STRUCTURE, SplitConfig, load_structure


@with_preset_names
def instances(
    segmentation: ImageAddress,
    destination: OutputPath,
    /,
    *,
    split: Flag = False,
    probability: OptionalAddress = None,
    structure: str | None = None,
    min_contact_strength: float | None = None,
    min_size: int = 1,
    sizes: OptionalOutput = None,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Label the objects of a segmentation, connected or also separated; write their sizes.

    Parameters
    ----------
    segmentation
        Label image, path or URL; for instance cell.zarr/predictions/mito/segmentation.
    destination
        Label image to write, for instance cell.zarr/predictions/mito/instances.
    split
        Separate touching objects where they are narrow. Without it, an object is all that is
        connected.
    probability
        Probability that was segmented, path or URL: with --split, objects are also separated where
        it is low.
    structure
        Preset of the separation: {PRESETS} (default mito), or a TOML file.
    min_contact_strength
        With --split: parts whose contact is at least as strong stay one object; larger values
        separate more. Default 0.06 for mito, otherwise 0.15. It has no unit: 1 is the
        middle of a plate, 0.67 that of a rod, 0.14 a neck of 0.6 times the diameter of a rod.
    min_size
        Remove objects of fewer voxels.
    sizes
        Table to write (CSV): id, voxels, volume in cubic nm. It must not be within an image.
    overwrite
        Replace the image at DESTINATION, and a table of sizes that asem wrote.
    """
    from asem.workflows.describe import describe_volume
    from asem.workflows.instances import label_instances

    settings = _read_split(
        split, probability=probability, structure=structure, strength=min_contact_strength
    )
    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        volume = label_instances(
            segmentation,
            destination,
            min_size=min_size,
            split=settings,
            probability=probability,
            size_table=sizes,
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    objects = describe_volume(destination)["made_by"]["facts"]["objects"]
    result = {"instances": str(destination), "objects": objects, "shape": list(volume.shape)}
    print_result(result, as_json=output_options.json)


def measure(
    instances: ImageAddress,
    /,
    *,
    out: OutputPath,
    raw: OptionalAddress = None,
    other: OptionalAddress = None,
    within: float | None = None,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Measure the objects of instances: volume, surface, position, distances; a row for each.

    Parameters
    ----------
    instances
        Label image with an id per object, path or URL; for instance the output of asem instances.
    out
        Folder to write: objects.csv, objects.parquet, sizes.png (distributions of the sizes), and
        provenance.json, which describes the columns; with --within, also contacts.csv and
        contacts.parquet.
    raw
        Image, path or URL; adds mean and standard deviation of the grey values.
    other
        Labels of other objects, path or URL, for instance of the ER; default: the other objects of
        INSTANCES. Needs --within.
    within
        Search distance in nm: adds the distance to the nearest other object, and the table of
        contacts, with gap and area of each pair of objects within it.
    overwrite
        Replace earlier results in the folder.
    """
    from asem.workflows.measure import measure_instances

    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        result = measure_instances(
            instances,
            out,
            raw=raw,
            other=other,
            within_nm=within,
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    print_result(result, as_json=output_options.json)


def mesh(
    instances: ImageAddress,
    destination: OutputPath,
    /,
    *,
    format_name: Annotated[MeshFormatName, Parameter(name="--format")] = "precomputed",
    ids: OptionalIds = None,
    min_size: int = 1,
    max_error: float | None = None,
    open_border: Flag = False,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Mesh the surface of each object of instances, for neuroglancer or as OBJ and PLY files.

    Parameters
    ----------
    instances
        Label image with an id per object, path or URL; for instance the output of asem instances.
    destination
        Folder to write, for instance cell.zarr/predictions/mito/meshes. Positions are x, y, z in
        nm.
    format_name
        precomputed: all objects in several levels of detail, for neuroglancer; obj, ply: a file
        per object.
    ids
        Objects to mesh, for instance 3,5-7; default: all.
    min_size
        Leave out objects of fewer voxels.
    max_error
        Simplify also the finest level: no point of the surface moves by more than this, nm.
        Default: the surface between the voxels as it is.
    open_border
        Leave objects that touch the border of the volume open there; by default they are closed.
    overwrite
        Replace earlier meshes in the folder.
    """
    from asem.workflows.mesh import mesh_instances

    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        result = mesh_instances(
            instances,
            destination,
            format_name=format_name,
            ids=ids,
            min_size=min_size,
            max_error_nm=max_error,
            open_border=open_border,
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    print_result(result, as_json=output_options.json)


def _read_split(
    split: bool, *, probability: object, structure: str | None, strength: float | None
) -> SplitConfig | None:
    """Return the settings of the separation; raise ValueError for options that need --split."""
    given = {
        "--probability": probability,
        "--structure": structure,
        "--min-contact-strength": strength,
    }
    needing = [option for option, value in given.items() if value is not None]
    if not split and needing:
        raise ValueError(f"{', '.join(needing)}: only separates objects; give --split, too")
    if not split:
        return None
    settings = load_structure(DEFAULT_STRUCTURE if structure is None else structure).split
    changed = {} if strength is None else {"min_contact_strength": strength}
    return SplitConfig.from_dict(
        {**settings.model_dump(), **changed}, source="the options of --split"
    )
