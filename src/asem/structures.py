"""Presets per structure: how its annotations are cleaned, how exact its outlines are."""

from pathlib import Path

from pydantic import Field

from asem.config import Config


class Structure(Config):
    """One kind of organelle; lengths and volumes hold at every voxel size.

    In voxels, lengths are rounded half up along each axis (`asem.image.morphology`): dilation may
    be 0 voxels along an axis, a zone is at least 1 along the finest.

    The presets are the paper's numbers (Data preprocessing, steps 4, 6 and 7), which it gives in
    voxels of 5 nm.
    """

    name: str
    """Name in commands and training files."""
    smallest_nm3: float = Field(0, ge=0)
    """Annotated objects of less are dropped, but for those that the border or unlabelled voxels cut
    off."""
    largest_hole_nm3: float = Field(0, ge=0)
    """Holes of less are filled."""
    dilation_nm: float = Field(0, ge=0)
    """By how much annotators stay inside: they leave out the membrane."""
    zone_out_nm: float = Field(0, ge=0)
    """Width of the exclusion zone outside of an annotated border."""
    zone_in_nm: float = Field(0, ge=0)
    """Its width inside."""


VOXEL_NM3 = 5.0**3
STRUCTURES = {
    structure.name: structure
    for structure in (
        Structure(
            name="mito",
            smallest_nm3=27 * VOXEL_NM3,
            dilation_nm=15,
            zone_out_nm=20,
            zone_in_nm=20,
        ),
        Structure(
            name="golgi",
            smallest_nm3=27 * VOXEL_NM3,
            dilation_nm=5,
            zone_out_nm=10,
            zone_in_nm=10,
        ),
        Structure(name="er", largest_hole_nm3=20_000 * VOXEL_NM3, zone_out_nm=5, zone_in_nm=5),
        Structure(name="npc", zone_out_nm=15, zone_in_nm=5),
        Structure(name="ccp", zone_out_nm=15, zone_in_nm=5),
    )
}


def structure(name: str) -> Structure:
    """Return the preset called `name`.

    Raises
    ------
    ValueError
        No preset has this name; the message lists those there are.
    """
    if name not in STRUCTURES:
        raise ValueError(f"unknown structure '{name}'; known: {', '.join(STRUCTURES)}")
    return STRUCTURES[name]


def find_structure(text: str) -> Structure:
    """Return the preset called `text`, or the one that a TOML file of this name describes.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such preset or file, or the file is wrong.
    """
    return Structure.from_toml(Path(text)) if text.endswith(".toml") else structure(text)
