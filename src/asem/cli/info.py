"""Command `asem info`: describe an image, a run or a model; list the images in a container."""

from typing import Any

from asem.cli.options import DEFAULT_OUTPUT, Flag, ImageAddress, OutputOptions
from asem.cli.printing import print_result
from asem.cli.progress import show_progress

NOT_STATED = "not stated"


def info(
    image: ImageAddress,
    /,
    *,
    channel: str | None = None,
    count: Flag = False,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Describe an image (format, shape, voxel size, position), a training run or a network.

    For a folder with several images, for instance cell.zarr, list them.

    Parameters
    ----------
    image
        Image or container, path or URL; run directory of asem train, for instance runs/mito; a
        checkpoint, or a converted model.
    channel
        Number or name of the channel to describe, if there are several.
    count
        List the ids of labels and the number of voxels of each; reads all voxels.
    """
    from asem.volume.formats.source_image import SourceOptions
    from asem.workflows.container import describe_images, find_images
    from asem.workflows.describe import describe_training, describe_volume
    from asem.workflows.id_counts import count_ids

    training = describe_training(image)
    if training:
        print_result(training, as_json=output_options.json)
        return
    images = find_images(image)
    if images:
        listed = {"images": describe_images(images)}
        printed = listed if output_options.json else _shorten(listed)
        print_result(printed, as_json=output_options.json)
        return
    options = SourceOptions(channel=channel)
    fields = describe_volume(image, options)
    if count:
        with show_progress() as report_progress:
            fields |= count_ids(image, options=options, progress=report_progress)
    elif fields["kind"] == "labels" and not output_options.json:
        fields["ids"] = "not counted; --count reads all voxels and lists them"
    fields["made_by"] = fields.pop("made_by")  # last
    print_result(
        fields if output_options.json else _state_missing(fields), as_json=output_options.json
    )


def _state_missing(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields for people: "not stated" where the image does not state them."""
    size = fields["voxel_size"]
    changed: dict[str, Any] = {"channels": fields["channels"] or NOT_STATED}
    if None in size:
        partly = " x ".join("?" if nm is None else f"{nm:.9g}" for nm in size)
        changed["voxel_size"] = NOT_STATED if size == [None] * 3 else f"{partly} nm"
    for key in ("offset_nm", "kind"):
        if fields[key] is None:
            changed[key] = NOT_STATED
    if fields["original"]["origin_nm"] is None:
        changed["original"] = fields["original"] | {"origin_nm": NOT_STATED}
    return fields | changed


def _shorten(listed: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, str]]:
    """Return one line for each image of a container."""
    return {"images": {name: _describe_line(one) for name, one in listed["images"].items()}}


def _describe_line(fields: dict[str, Any]) -> str:
    if "error" in fields:
        return f"cannot be read: {fields['error']}"
    shape = " x ".join(map(str, fields["shape"]))
    size = " x ".join("?" if nm is None else f"{nm:.6g}" for nm in fields["voxel_size"])
    voxels = "voxel size not stated" if fields["voxel_size"] == [None] * 3 else f"{size} nm"
    kind = fields["kind"] or f"kind {NOT_STATED}"
    return f"{fields['format']}, {shape} voxels, {voxels}, {fields['dtype']}, {kind}"
