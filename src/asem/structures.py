"""Presets per structure: how exact its outlines are, in nm, as the paper gives them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Structure:
    """One kind of organelle.

    Parameters
    ----------
    name
        Name in commands and training files.
    zone_out_nm, zone_in_nm
        Width of the exclusion zone outside and inside of an annotated border (paper, Data
        preprocessing, step 7: mitochondria 4 + 4 voxels of 5 nm, Golgi 2 + 2, ER 1 + 1, nuclear
        pores and coated pits 3 + 1).
    """

    name: str
    zone_out_nm: float
    zone_in_nm: float


STRUCTURES = {
    structure.name: structure
    for structure in (
        Structure("mito", zone_out_nm=20, zone_in_nm=20),
        Structure("golgi", zone_out_nm=10, zone_in_nm=10),
        Structure("er", zone_out_nm=5, zone_in_nm=5),
        Structure("npc", zone_out_nm=15, zone_in_nm=5),
        Structure("ccp", zone_out_nm=15, zone_in_nm=5),
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
