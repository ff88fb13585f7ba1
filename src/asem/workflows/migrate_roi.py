"""Convert ROIs of the published pipeline to voxels of raw.

::

    world, voxels   0        raw's own offset         offset                 offset + shape
                    |--------|------------------------|----------------------|
    voxels of raw            0                        start                  stop

The published offset is that of the first voxel's corner in the world, over the voxel size.
"""

from dataclasses import dataclass, field

from asem.config import NmZYX
from asem.volume.address import Address
from asem.volume.formats.detect import open_source_image
from asem.volume.formats.source_image import DEFAULT_SOURCE_OPTIONS, SourceImage
from asem.volume.roi import IntZYX, Roi, format_shape, per_axis
from asem.workflows.migrate_data import NamedDataset
from asem.workflows.migration_notes import MigrationNote

MAX_FRACTION = 0.01
"""Largest distance of a position from a whole voxel, voxels."""
MAX_SIZE_DIFFERENCE = 1e-3
"""Relative difference up to which two voxel sizes are the same."""


@dataclass(frozen=True)
class RawImages:
    """Metadata of raw images; each is opened once."""

    opened: dict[Address, SourceImage | Exception] = field(default_factory=dict)

    def open(self, address: Address) -> SourceImage | Exception:
        """Return the image, or the error where it cannot be opened."""
        if address not in self.opened:
            try:
                self.opened[address] = open_source_image(address, DEFAULT_SOURCE_OPTIONS)
            except (OSError, ValueError) as error:
                self.opened[address] = error
        return self.opened[address]


def convert_roi(
    dataset: NamedDataset, raw: Address, images: RawImages
) -> tuple[str | None, list[MigrationNote]]:
    """Return the ROI of a dataset in voxels of raw, and what is assumed about it.

    Parameters
    ----------
    dataset
        With offset and shape, or with neither.
    raw
        Its raw array, whose own offset is subtracted if it can be opened.
    images
        Images that are opened already.

    Raises
    ------
    ValueError
        Only one of offset and shape is given, the ROI is not within raw, or raw's own offset is
        between two voxels.
    """
    offset, shape = dataset.content.offset, dataset.content.shape
    if offset is None and shape is None:
        reason = "without them the published pipeline uses all of raw"
        return None, [_assume(dataset, "offset, shape", None, reason, "no roi is written")]
    if offset is None or shape is None:
        missing = "offset" if offset is None else "shape"
        raise ValueError(f"dataset {dataset.name!r}: key '{missing}' is missing")
    image = images.open(raw)
    notes = []
    own: IntZYX = (0, 0, 0)
    if isinstance(image, Exception):
        reason = f"raw cannot be opened ({image}); its own offset is assumed to be 0"
        notes.append(_assume(dataset, "offset", offset, reason, _CHECK))
    elif image.levels[0].offset_nm is None:
        reason = "raw states no offset of its own; it is assumed to be 0"
        notes.append(_assume(dataset, "offset", offset, reason, _CHECK))
    else:
        own = _own_offset(dataset, raw, image)
    notes += _compare_voxel_sizes(dataset, image)
    start = per_axis(lambda position, first: position - first, offset, own)
    _check_within(dataset, Roi(start, shape), image)
    return str(Roi(start, shape)), notes


_CHECK = "asem info RAW prints it once it can be opened; then migrate again"


def _own_offset(dataset: NamedDataset, raw: Address, image: SourceImage) -> IntZYX:
    """Return raw's own offset in voxels, as the published pipeline reads it: of the corner.

    Images of other programs place the centre of the first voxel at 0 instead, half a voxel from
    where the corner would be on the grid; for these it is the offset of the centre.
    """
    level, size = image.levels[0], dataset.content.voxel_size
    centre = level.offset_nm
    assert centre is not None
    own_size = per_axis(lambda own, nm: nm if own is None else own, level.voxel_size, size)
    corner = per_axis(lambda position, nm: position - nm / 2, centre, own_size)
    for start in (corner, centre):
        voxels = per_axis(lambda position, nm: position / nm, start, size)
        if all(abs(one - round(one)) <= MAX_FRACTION for one in voxels):
            return per_axis(round, voxels)
    raise ValueError(
        f"dataset {dataset.name!r}: the first voxel of {raw} has its corner at "
        f"{_format_nm(corner)} nm, between two voxels of {_format_nm(size)} nm; correct voxel_size"
    )


def _compare_voxel_sizes(
    dataset: NamedDataset, image: SourceImage | Exception
) -> list[MigrationNote]:
    """Return a note where raw states another voxel size than the data config."""
    if isinstance(image, Exception):
        return []
    size, stated = dataset.content.voxel_size, image.levels[0].voxel_size
    if all(
        own is None or abs(own - nm) <= MAX_SIZE_DIFFERENCE * nm
        for own, nm in zip(stated, size, strict=True)
    ):
        return []
    listed = ", ".join("?" if own is None else f"{own:g}" for own in stated)
    reason = f"raw states ({listed}) nm, which asem uses; the ROI has the same voxels"
    instead = "voxel_size is that of the network; voxel_size_range lists what is not resampled"
    return [_assume(dataset, "voxel_size", size, reason, instead)]


def _check_within(dataset: NamedDataset, roi: Roi, image: SourceImage | Exception) -> None:
    whole = None if isinstance(image, Exception) else Roi.of_shape(image.levels[0].array.shape)
    if min(roi.offset) >= 0 and (whole is None or whole.contains(roi)):
        return
    size = "" if whole is None else f" of {format_shape(whole.shape)} voxels"
    raise ValueError(
        f"dataset {dataset.name!r}: offset and shape are the voxels {roi} of raw{size}, which has "
        "no such voxels; correct them, or raw's own offset"
    )


def _assume(
    dataset: NamedDataset, key: str, value: object, reason: str, instead: str
) -> MigrationNote:
    return MigrationNote(f"{dataset.name}.{key}", value, reason, instead, kind="assumption")


def _format_nm(values: NmZYX) -> str:
    return ", ".join(f"{value:g}" for value in values)
