"""Commands that measure segmentations: instances, measure."""

from asem.cli.options import (
    DEFAULT_OUTPUT,
    IN_PROCESS,
    Flag,
    ImageAddress,
    OptionalAddress,
    OptionalOutput,
    OutputOptions,
    OutputPath,
    WorkerOptions,
    open_requested_executor,
)
from asem.cli.printing import print_result
from asem.cli.progress import show_progress


def instances(
    segmentation: ImageAddress,
    destination: OutputPath,
    /,
    *,
    min_size: int = 1,
    sizes: OptionalOutput = None,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Label the connected objects of a segmentation; write a table of their sizes.

    Parameters
    ----------
    segmentation
        Label image, path or URL; for instance cell.zarr/predictions/mito/segmentation.
    destination
        Label image to write, for instance cell.zarr/predictions/mito/instances.
    min_size
        Remove objects of fewer voxels.
    sizes
        Table to write (CSV): id, voxels, volume in cubic nm. It must not be within an image.
    overwrite
        Replace the image at DESTINATION, and a table of sizes that asem wrote.
    """
    from asem.workflows.describe import describe_volume
    from asem.workflows.instances import label_instances

    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        volume = label_instances(
            segmentation,
            destination,
            min_size=min_size,
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
        Folder to write: objects.csv, objects.parquet, and provenance.json, which describes the
        columns; with --within, also contacts.csv and contacts.parquet.
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
