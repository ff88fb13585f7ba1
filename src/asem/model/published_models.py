"""Table of the seven models published with the paper. Loads no torch."""

from dataclasses import dataclass

from asem.config import NmZYX, shorten
from asem.model.voxel_size_range import VoxelSizeRange

BUCKET_URL = "https://open.quiltdata.com/b/asem-project"
"""The paper's bucket (Data availability); the checkpoints are in its folder models."""
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
        The authors' number of it, part of its file name.
    structure
        Name of the preset of the structure that it detects.
    preparation
        Fixation of the cells: a key of `PREPARATIONS`.
    voxel_size
        nm, of the training images; if they differ, the common one to which other data is resampled.
    voxel_size_range
        The smallest and the largest voxel size of the training images, if they differ: data within
        this range is not resampled.
    """

    number: int
    structure: str
    preparation: str
    voxel_size: NmZYX
    voxel_size_range: VoxelSizeRange | None = None


_FIVE, _FOUR = (5.0, 5.0, 5.0), (4.0, 4.0, 4.0)
_MIXED = ((3.2, 4.0, 4.0), (5.24, 4.0, 4.0))
"""Hela cells 19 and 20, 5.2 and 3.2 nm nominally along z (Results: Automated segmentation)."""
PUBLISHED_MODELS = (
    PublishedModel(1847, "mito", "CF", _FIVE),
    PublishedModel(1837, "golgi", "CF", _FIVE),
    PublishedModel(1841, "er", "CF", _FIVE),
    PublishedModel(1675, "mito", "HPFS", _FOUR, _MIXED),
    PublishedModel(1669, "er", "HPFS", _FOUR, _MIXED),
    PublishedModel(1986, "ccp", "HPFS", _FIVE),
    PublishedModel(2000, "npc", "HPFS", _FIVE),
)


def find_published_model(number: int) -> PublishedModel:
    """Return the published model of a number.

    Raises
    ------
    ValueError
        There is no such number; the message lists all of them.

    Examples
    --------
    >>> find_published_model(1837).structure
    'golgi'
    """
    for model in PUBLISHED_MODELS:
        if model.number == number:
            return model
    numbers = ", ".join(str(model.number) for model in PUBLISHED_MODELS)
    raise ValueError(
        f"unknown published model {shorten(number)}; known: {numbers} (`asem models list`)"
    )
