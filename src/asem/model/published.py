"""The seven models that were published with the paper. Loads no torch."""

from dataclasses import dataclass

from asem.config import Nm3, excerpt
from asem.model.voxel_range import VoxelSizeRange

WHERE = "https://open.quiltdata.com/b/asem-project"
"""The paper's bucket (Data availability); the checkpoints lie in its folder models."""
PREPARATIONS = {
    "CF": "chemical fixation",
    "HPFS": "high-pressure freezing and freeze substitution",
}


@dataclass(frozen=True)
class PublishedModel:
    """One trained network of the paper.

    Parameters
    ----------
    number
        By which the authors call it; part of its file's name.
    structure
        What it finds, by the name of its preset.
    preparation
        How its cells were fixed: a key of `PREPARATIONS`.
    voxel_size
        nm, of the images that it was trained on; where they differed, their common one, to which
        other data is resampled.
    voxel_size_range
        The smallest and the largest, where they differed: data within is not resampled.
    """

    number: int
    structure: str
    preparation: str
    voxel_size: Nm3
    voxel_size_range: VoxelSizeRange | None = None


_FIVE, _FOUR = (5.0, 5.0, 5.0), (4.0, 4.0, 4.0)
_MIXED = ((3.2, 4.0, 4.0), (5.24, 4.0, 4.0))
"""Hela cells 19 and 20, 5.2 and 3.2 nm nominally along z (Results: Automated segmentation)."""
PUBLISHED = (
    PublishedModel(1847, "mito", "CF", _FIVE),
    PublishedModel(1837, "golgi", "CF", _FIVE),
    PublishedModel(1841, "er", "CF", _FIVE),
    PublishedModel(1675, "mito", "HPFS", _FOUR, _MIXED),
    PublishedModel(1669, "er", "HPFS", _FOUR, _MIXED),
    PublishedModel(1986, "ccp", "HPFS", _FIVE),
    PublishedModel(2000, "npc", "HPFS", _FIVE),
)


def published_model(number: int) -> PublishedModel:
    """Return the published model called `number`.

    Raises
    ------
    ValueError
        There is none of this number; the message lists those there are.

    Examples
    --------
    >>> published_model(1837).structure
    'golgi'
    """
    for model in PUBLISHED:
        if model.number == number:
            return model
    known = ", ".join(str(model.number) for model in PUBLISHED)
    raise ValueError(
        f"unknown published model {excerpt(number)}; known: {known} (`asem models list`)"
    )
