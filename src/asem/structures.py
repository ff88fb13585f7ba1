"""Presets per organelle: annotation clean-up, exclusion-zone widths, separation of objects."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from asem.config import Config, shorten, suggest

MAX_WIDTH_NM = 1e5
"""Largest width that is converted to voxels for a halo."""


class SplitConfig(Config):
    """Separation of touching objects (`asem.image.object_splitting`), for every voxel size."""

    min_contact_strength: float = Field(0.15, ge=0, le=1000)
    """Parts of an object whose contact is weaker are separate objects. The strength of a contact
    has no unit (`asem.image.basin_merging`): 1 in the middle of a plate, 0.67 in that of a rod,
    0.14 where the diameter of a rod is 0.6 times that of its middle, 0 where parts touch at a
    point."""
    smoothing_nm: float = Field(5, ge=0, le=MAX_WIDTH_NM)
    """Standard deviation of the Gaussian that smooths the distances to the surface, nm."""
    max_distance_nm: float = Field(200, gt=0, le=MAX_WIDTH_NM)
    """Larger distances to the surface count as this one, nm: about the radius of the thickest
    objects. It limits what is read around a block."""


class Structure(Config):
    """Settings of one organelle for annotations and objects, independent of the voxel size.

    Lengths are converted to voxels per axis, rounded half up (`asem.image.morphology`): a dilation
    may be 0 voxels along an axis, a zone is at least 1 voxel along the finest axis.

    The presets have the paper's values (Data preprocessing, steps 4, 6 and 7), which it states in
    voxels of 5 nm. The distance to centre lines is not from the paper: it is the width of the zone
    outside, by which a right prediction of a thin annotation may be thicker.
    """

    file_kind: ClassVar[str] = "structure file"

    name: str
    """Name in commands and training files."""
    smallest_nm3: float = Field(0, ge=0)
    """Smaller annotated objects are removed, except those cut by the border or by unlabelled
    voxels."""
    largest_hole_nm3: float = Field(0, ge=0)
    """Smaller holes are filled."""
    dilation_nm: float = Field(0, ge=0)
    """Dilation of the annotated objects, which leave out the membrane."""
    zone_out_nm: float = Field(0, ge=0)
    """Width of the exclusion zone outside an annotated border."""
    zone_in_nm: float = Field(0, ge=0)
    """Width of the exclusion zone inside an annotated border."""
    centre_line_nm: float | None = Field(None, ge=0)
    """For thin annotations: distance within which the centre line of an object counts as covered by
    the prediction (`asem evaluate --objects`)."""
    split: SplitConfig = SplitConfig()
    """Separation of touching objects."""


PAPER_VOXEL_NM3 = 5.0**3
PRESETS = {
    structure.name: structure
    for structure in (
        Structure(
            name="mito",
            smallest_nm3=27 * PAPER_VOXEL_NM3,
            dilation_nm=15,
            zone_out_nm=20,
            zone_in_nm=20,
            split=SplitConfig(min_contact_strength=0.06, smoothing_nm=10),
        ),
        Structure(
            name="golgi",
            smallest_nm3=27 * PAPER_VOXEL_NM3,
            dilation_nm=5,
            zone_out_nm=10,
            zone_in_nm=10,
        ),
        Structure(
            name="er", largest_hole_nm3=20_000 * PAPER_VOXEL_NM3, zone_out_nm=5, zone_in_nm=5
        ),
        Structure(name="npc", zone_out_nm=15, zone_in_nm=5, centre_line_nm=15),
        Structure(
            name="ccp",
            zone_out_nm=15,
            zone_in_nm=5,
            centre_line_nm=15,
            split=SplitConfig(max_distance_nm=100),
        ),
    )
}
"""Presets by name; another preset is one more entry here."""
DEFAULT_STRUCTURE = "mito"
"""Name of the preset that is used where none is chosen."""


def preset_names() -> str:
    """Return the names of all presets for help texts and messages.

    Examples
    --------
    >>> preset_names()
    'mito, golgi, er, npc, ccp'
    """
    return ", ".join(PRESETS)


def find_preset(name: str) -> Structure:
    """Return the preset called `name`.

    Raises
    ------
    ValueError
        No preset has this name; the message lists all presets.
    """
    if name not in PRESETS:
        raise ValueError(
            f"unknown structure {shorten(name)}; known: {preset_names()}{suggest(name, PRESETS)}"
        )
    return PRESETS[name]


def load_structure(name_or_path: str, *, requested_by: str = "--structure") -> Structure:
    """Return the preset called `name_or_path`, or the structure in the TOML file at this path.

    Parameters
    ----------
    name_or_path
        Name of a preset, or path that ends in ``.toml``.
    requested_by
        Option or key that states it, for messages.

    Raises
    ------
    FileNotFoundError, ValueError
        The preset or file does not exist, or the file is invalid.
    """
    return (
        Structure.from_toml(Path(name_or_path), requested_by=requested_by)
        if name_or_path.endswith(".toml")
        else find_preset(name_or_path)
    )
