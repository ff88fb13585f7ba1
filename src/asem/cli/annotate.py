"""Commands for annotations: annotate, graphcut, labels."""

from pathlib import Path
from typing import Literal

from asem.cli.options import (
    DEFAULT_OUTPUT,
    IN_PROCESS,
    Flag,
    ImageAddress,
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
from asem.structures import DEFAULT_STRUCTURE


def annotate(
    raw: ImageAddress,
    /,
    *,
    session: OptionalOutput = None,
    structure: str = DEFAULT_STRUCTURE,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Annotate an image in napari: strokes become labels by graph cut, while you draw.

    Parameters
    ----------
    raw
        Image, path or URL; for instance cell.zarr/raw.
    session
        Folder of the strokes and accepted windows; by default cell.zarr/annotations, or
        RAW.annotations next to another image, or for a URL in the working directory. An existing
        session is resumed.
    structure
        Structure to annotate first; others can be chosen in the viewer.
    """
    from asem.plugin.launch import annotate as open_window

    open_window(raw, session, structure)


def graphcut(
    raw: ImageAddress,
    strokes: ImageAddress,
    destination: OutputPath,
    /,
    *,
    roi: str | None = None,
    config: Path | None = None,
    overwrite: Flag = False,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Segment a region from strokes on a few planes, by graph cut.

    Parameters
    ----------
    raw
        Image, path or URL; for instance cell.zarr/raw.
    strokes
        Label image, path or URL, on the voxels of RAW: 1 foreground, 2 background, 0 no stroke. The
        region that it covers is segmented.
    destination
        Label image to write: 1 foreground, 0 background.
    roi
        Segment only this part of RAW, z0:z1,y0:y1,x0:x1.
    config
        A TOML file: energy = "membranes" (the default) with a table [membranes] of its weights
        (walk_weight, appearance_weight, smoothness, membrane_softness, walk_leak, smoothing_nm,
        threshold; [membranes.fragments] has membranes_are_dark, membrane_nm, seed_spacing_bins,
        quantile), or energy = "paper" with a table [paper] (likelihood, distance, smoothness, bins,
        contrast_sigma; [paper.supervoxels]). mixture_components = 2 removes voxels whose grey
        values are rare under the foreground strokes.
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.annotate.graphcut import GraphCutConfig
    from asem.workflows.graphcut import graphcut_volume

    settings = (
        GraphCutConfig.from_toml(config, requested_by="--config") if config else GraphCutConfig()
    )
    with show_progress() as report_progress:
        volume = graphcut_volume(
            raw,
            strokes,
            destination,
            roi=roi,
            config=settings,
            overwrite=overwrite,
            progress=report_progress,
        )
    print_result(
        {"labels": str(destination), "shape": list(volume.shape)}, as_json=output_options.json
    )


@with_preset_names
def labels(
    source: ImageAddress,
    destination: OutputPath,
    /,
    *,
    structure: str,
    exclusion_zone: OptionalOutput = None,
    zone_shape: Literal["diamond", "ball"] = "diamond",
    ids: OptionalIds = None,
    overwrite: Flag = False,
    workers: WorkerOptions = IN_PROCESS,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Make training labels from annotations: remove small objects, fill holes, dilate.

    Small objects at the border or next to unlabelled voxels are not removed, because their size is
    unknown. Widths in nm are rounded half up to voxels along each axis; a warning names
    widths of 0.

    Parameters
    ----------
    source
        Annotation, a label image, path or URL: 0 is background, the maximum of the data type is
        unlabelled.
    destination
        Label image to write, for instance cell.zarr/labels/mito.
    structure
        Preset: {PRESETS}, or a TOML file with name, smallest_nm3, largest_hole_nm3, dilation_nm,
        zone_out_nm and zone_in_nm.
    exclusion_zone
        Write the exclusion zone around object borders, which is not scored, for instance to
        cell.zarr/exclusion/mito.
    zone_shape
        Shape of the zone: diamond as in the paper, or ball, which is wider.
    ids
        Ids of SOURCE that are the structure, for instance 3,5-7; others are background.
    overwrite
        Replace the images at DESTINATION and EXCLUSION_ZONE.
    """
    from asem.structures import load_structure
    from asem.workflows.labels import label_volume

    preset = load_structure(structure)
    with open_requested_executor(workers) as executor, show_progress() as report_progress:
        volume = label_volume(
            source,
            destination,
            preset,
            exclusion_zone=exclusion_zone,
            zone_shape=zone_shape,
            ids=ids,
            overwrite=overwrite,
            executor=executor,
            progress=report_progress,
        )
    result = {"labels": str(destination), "shape": list(volume.shape)}
    zone = {"exclusion_zone": str(exclusion_zone)} if exclusion_zone else {}
    print_result(result | zone, as_json=output_options.json)
