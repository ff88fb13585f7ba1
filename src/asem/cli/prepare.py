"""The verbs around training: clahe, mask, graphcut, annotate, labels; and instances after it."""

from pathlib import Path
from typing import Literal

from asem.cli.common import HERE, PLAIN, Flag, Shown, Workers, executing, progress, show


def clahe(
    raw: Path,
    destination: Path,
    /,
    *,
    kernel: int = 128,
    clip_limit: float = 0.02,
    overwrite: Flag = False,
    workers: Workers = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Equalize the contrast of an image in 3D (CLAHE).

    Parameters
    ----------
    raw
        The image, for instance cell.zarr/raw.
    destination
        The image to write, for instance cell.zarr/clahe.
    kernel
        Edge of the cubes within which contrast is equalized, voxels.
    clip_limit
        More gives more contrast, and more noise; above 0, at most 1.
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.image.clahe import ClaheConfig
    from asem.workflows.clahe import clahe_volume

    given = {"kernel": (kernel, kernel, kernel), "clip_limit": clip_limit}
    config = ClaheConfig.checked(given, source="asem clahe")
    with executing(workers) as executor, progress() as told:
        volume = clahe_volume(
            raw, destination, config=config, overwrite=overwrite, executor=executor, progress=told
        )
    show({"clahe": str(destination), "shape": list(volume.shape)}, as_json=shown.json)


def mask(
    raw: Path,
    destination: Path,
    /,
    *,
    config: Path | None = None,
    above: float | None = None,
    below: float | None = None,
    overwrite: Flag = False,
    workers: Workers = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Find where the cell is: grey values, opening, closing, no small holes and objects.

    Parameters
    ----------
    raw
        The image, for instance cell.zarr/raw.
    destination
        The label image to write, for instance cell.zarr/mask: 1 inside, 0 outside.
    config
        A TOML file with any of above, below, opening_nm, closing_nm, largest_hole_nm3 and
        smallest_nm3.
    above
        The cell is brighter than this, on a scale of 0 to 255 (2).
    below
        And darker than this (180).
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.image.masks import MaskConfig
    from asem.workflows.mask import mask_volume

    settings = MaskConfig.from_toml(config) if config else MaskConfig()
    given = {"above": above, "below": below}
    changed = {key: value for key, value in given.items() if value is not None}
    settings = MaskConfig.checked({**settings.model_dump(), **changed}, source="asem mask")
    with executing(workers) as executor, progress() as told:
        volume = mask_volume(
            raw, destination, config=settings, overwrite=overwrite, executor=executor, progress=told
        )
    show({"mask": str(destination), "shape": list(volume.shape)}, as_json=shown.json)


def graphcut(
    raw: Path,
    strokes: Path,
    destination: Path,
    /,
    *,
    roi: str | None = None,
    config: Path | None = None,
    overwrite: Flag = False,
    shown: Shown = PLAIN,
) -> None:
    """Make labels of strokes on a few planes: a minimum cut between fragments of the image.

    Parameters
    ----------
    raw
        The image, for instance cell.zarr/raw.
    strokes
        A label image on RAW's voxels: 1 foreground, 2 background, 0 nothing. The region that it
        covers is labelled.
    destination
        The label image to write: 1 foreground, 0 background.
    roi
        Only this part of RAW, z0:z1,y0:y1,x0:x1.
    config
        A TOML file: energy = "membranes" (the default) with a table [membranes] of its weights
        (walk, look, smoothness, softness, leak, smoothing_nm, threshold; [membranes.fragments] has
        membranes_are_dark, membrane_nm, seeds, quantile), or energy = "paper" with a table [paper]
        (likelihood, distance, smoothness, bins, contrast_sigma; [paper.supervoxels]). mixture = 2
        takes away voxels as bright or dark as no stroke of the foreground.
    overwrite
        Replace the image at DESTINATION.
    """
    from asem.annotate.graphcut import GraphCutConfig
    from asem.workflows.graphcut import graphcut_volume

    settings = GraphCutConfig.from_toml(config) if config else GraphCutConfig()
    with progress() as told:
        volume = graphcut_volume(
            raw, strokes, destination, roi=roi, config=settings, overwrite=overwrite, progress=told
        )
    show({"labels": str(destination), "shape": list(volume.shape)}, as_json=shown.json)


def annotate(
    raw: Path, /, *, session: Path | None = None, structure: str = "mito", shown: Shown = PLAIN
) -> None:
    """Annotate an image in a window: draw a few strokes, see what they mean, go on.

    Parameters
    ----------
    raw
        The image, for instance cell.zarr/raw.
    session
        Folder of the strokes and finished windows; by default cell.zarr/annotations, or
        RAW.annotations beside another image. It is gone on with.
    structure
        What to begin with; the window has the others.
    """
    from asem.plugin.main import annotate as open_window

    open_window(raw, session, structure)


def labels(
    source: Path,
    destination: Path,
    /,
    *,
    structure: str,
    exclusion_zone: Path | None = None,
    zone_shape: Literal["diamond", "ball"] = "diamond",
    overwrite: Flag = False,
    workers: Workers = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Make training labels of annotations: drop specks, fill holes, dilate; and the zone.

    Specks at the border or beside unlabelled voxels stay: their true size is not known. Widths in
    nm are rounded half up to voxels along each axis; a warning names what becomes 0.

    Parameters
    ----------
    source
        The annotation, a label image: 0 background, the largest value unknown.
    destination
        The label image to write, for instance cell.zarr/labels/mito.
    structure
        Whose preset to apply: mito, golgi, er, npc, ccp, or a TOML file with name, smallest_nm3,
        largest_hole_nm3, dilation_nm, zone_out_nm and zone_in_nm.
    exclusion_zone
        Write the zone around the borders that scores leave out, for instance
        cell.zarr/exclusion/mito.
    zone_shape
        diamond as in the paper, or ball, which is wider.
    overwrite
        Replace the images at DESTINATION and EXCLUSION_ZONE.
    """
    from asem.structures import find_structure
    from asem.workflows.labels import label_volume

    preset = find_structure(structure)
    with executing(workers) as executor, progress() as told:
        volume = label_volume(
            source,
            destination,
            preset,
            exclusion_zone=exclusion_zone,
            zone_shape=zone_shape,
            overwrite=overwrite,
            executor=executor,
            progress=told,
        )
    result = {"labels": str(destination), "shape": list(volume.shape)}
    zone = {"exclusion_zone": str(exclusion_zone)} if exclusion_zone else {}
    show(result | zone, as_json=shown.json)


def instances(
    segmentation: Path,
    destination: Path,
    /,
    *,
    min_size: int = 1,
    sizes: Path | None = None,
    overwrite: Flag = False,
    workers: Workers = HERE,
    shown: Shown = PLAIN,
) -> None:
    """Give each object of a segmentation an id of its own.

    Parameters
    ----------
    segmentation
        A label image, for instance cell.zarr/predictions/mito/segmentation.
    destination
        The label image to write, for instance cell.zarr/predictions/mito/instances.
    min_size
        Leave out objects of fewer voxels.
    sizes
        Write a table (CSV): id, voxels, volume in cubic nm. Not within an image. No file but
        one that an interrupted run wrote is replaced.
    overwrite
        Replace the image at DESTINATION, and a table of sizes that asem wrote.
    """
    from asem.workflows.describe import describe_volume
    from asem.workflows.instances import number_objects

    with executing(workers) as executor, progress() as told:
        volume = number_objects(
            segmentation,
            destination,
            min_size=min_size,
            sizes=sizes,
            overwrite=overwrite,
            executor=executor,
            progress=told,
        )
    objects = describe_volume(destination)["made_by"]["facts"]["objects"]
    result = {"instances": str(destination), "objects": objects, "shape": list(volume.shape)}
    show(result, as_json=shown.json)
