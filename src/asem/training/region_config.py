"""Settings of labelled regions: the tables `[[train]]` and `[[validation]]` of a training file."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator

from asem.config import Config, shorten
from asem.model.run_metrics import POOLED
from asem.volume.address import Address
from asem.volume.id_selection import IdSelection

MAX_NAME = 80
"""Characters of the name of a region."""


def _check_region_name(name: str) -> str:
    if not name.isprintable() or not 1 <= len(name.strip()) <= MAX_NAME or name == POOLED:
        raise ValueError(
            f"{shorten(name)}: give 1 to {MAX_NAME} printable characters, other than "
            f"{POOLED!r}, the name of all regions together"
        )
    return name


class TrainingRegion(Config):
    """Labelled part of a volume; raw, labels and mask are paths or URLs."""

    raw: Address
    labels: Address
    roi: str | None = None
    """z0:z1,y0:y1,x0:x1 in voxels of raw; None: where there are labels."""
    mask: Address | None = None
    """Mask of the specimen; voxels outside are ignored."""
    ids: IdSelection | None = None
    """Ids of labels that are the structure, for instance [3, 4, 5] or "3-5"; other ids are
    background. None: all ids are the structure."""
    name: Annotated[str, AfterValidator(_check_region_name)] | None = None
    """Name in messages; of a validation region also in tables and curves. None: the end of the path
    of raw (`asem.training.region_names`)."""


def check_names(regions: Sequence[TrainingRegion]) -> None:
    """Raise ValueError if two validation regions have the same name."""
    names = [region.name for region in regions if region.name is not None]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two [[validation]] have the name {shorten(name)}; change one")
