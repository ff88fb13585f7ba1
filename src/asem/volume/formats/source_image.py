"""SourceImage: what a format module returns; and the options of reading."""

from dataclasses import dataclass, replace
from typing import Any, Self

from asem.config import NmZYX
from asem.volume.address import Address
from asem.volume.volume import ArrayLike, OriginalGrid, VolumeKind

StatedVoxelSize = tuple[float | None, float | None, float | None]
"""Voxel size along (z, y, x), nm; None: not stated."""


@dataclass(frozen=True)
class SourceOptions:
    """Options that the metadata of a source lacks or states wrongly.

    Parameters
    ----------
    channel
        Number or name of the channel to read.
    invert
        Whether to invert the grey values (TIFF, `asem.volume.tiff_stack.TiffOptions`).
    voxel_size_override
        Whether a given voxel size replaces the one in the source.
    """

    channel: str | None = None
    invert: bool | None = None
    voxel_size_override: bool = False


DEFAULT_SOURCE_OPTIONS = SourceOptions()


@dataclass(frozen=True)
class SourceLevel:
    """One level of a pyramid.

    Parameters
    ----------
    array
        Lazy array, axes (z, y, x).
    voxel_size
        nm along (z, y, x); None where the source states none.
    offset_nm
        World position of the centre of voxel (0, 0, 0), nm; None: not stated.
    is_offset_assumed
        Whether `offset_nm` is the convention of the format for an offset that is not stated;
        another one may then be given.
    """

    array: ArrayLike
    voxel_size: StatedVoxelSize
    offset_nm: NmZYX | None = None
    is_offset_assumed: bool = False


@dataclass(frozen=True)
class LabelValues:
    """Values of an array of labels that mean no object.

    Parameters
    ----------
    background
        Values of background, beside 0.
    unlabelled
        Values of unlabelled voxels, beside the maximum of the dtype; 0 may be one of them.
    """

    background: tuple[int, ...] = ()
    unlabelled: tuple[int, ...] = ()


@dataclass(frozen=True)
class SourceImage:
    """An image in a file format, opened to read; no voxel has been read.

    Parameters
    ----------
    address
        Where it is.
    format
        Name of the format, for messages.
    levels
        The finest first.
    identity
        Identity of the content: another value after the image has been replaced.
    kind
        ``"image"`` or ``"labels"``; None: not stated.
    channel_names
        Names of all channels, where the metadata has them.
    stated_grid, window, padding
        As in `asem.volume.volume.Volume`.
    made_by
        Provenance, where asem wrote the image (`asem.provenance`).
    label_values
        Values of background and unlabelled voxels in labels; None: not stated. The arrays of
        `levels` hold these values as they are stored.
    is_label_image
        Whether OME-NGFF's or asem's metadata state labels, in which the largest value of the dtype
        means unlabelled; False where the kind is inferred from the path or from other attributes.
    """

    address: Address
    format: str
    levels: tuple[SourceLevel, ...]
    identity: str
    kind: VolumeKind | None = None
    channel_names: tuple[str, ...] = ()
    stated_grid: OriginalGrid | None = None
    window: tuple[float, float] | None = None
    padding: tuple[float, ...] = ()
    made_by: dict[str, Any] | None = None
    label_values: LabelValues | None = None
    is_label_image: bool = False

    def select_level(self, number: int | None) -> Self:
        """Return the image without the levels that are finer than `number`.

        Raises
        ------
        ValueError
            There is no such level.
        """
        if number is None or number == 0:
            return self
        if number >= len(self.levels):
            s = "" if len(self.levels) == 1 else "s"
            raise ValueError(
                f"{self.address}: it has {len(self.levels)} level{s}; the coarsest is "
                f"#{len(self.levels) - 1}"
            )
        return replace(
            self,
            address=replace(self.address, level=number),
            levels=self.levels[number:],
            identity=f"{self.identity}, level {number}",
            stated_grid=None,
        )
