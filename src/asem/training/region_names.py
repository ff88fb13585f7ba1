"""Names of validation regions, for tables, curves and loggers."""

import re
from collections.abc import Iterable, Sequence

from asem.model.run_metrics import POOLED
from asem.training.region_config import TrainingRegion

SUFFIX = re.compile(r".\.[A-Za-z]\w*(:|#\d+)?$")
"""End of the name of a file or container, not of ``raw_equalized_0.02``; ``:`` precedes a dataset,
``#`` a level."""


def name_regions(regions: Sequence[TrainingRegion]) -> list[str]:
    """Return a unique, printable name of each region.

    It is the `name` of the region if the training file states one. Otherwise it is the end of the
    path of raw, from its last part with a suffix (``cell1.zarr/raw``), or from further up if
    another image ends in the same parts. A further region of the same image has a number.

    Examples
    --------
    >>> paths = ("data/a/cell.zarr/raw", "data/b/cell.zarr/raw", "data/b/cell.zarr/raw")
    >>> name_regions([TrainingRegion(raw=path, labels="labels") for path in paths])
    ['a/cell.zarr/raw', 'b/cell.zarr/raw', 'b/cell.zarr/raw 2']
    """
    given = {region.name for region in regions if region.name is not None}
    shortened = _shorten_paths([str(region.raw) for region in regions if region.name is None])
    made = iter(make_unique(shortened, taken={POOLED, *given}))
    return [next(made) if region.name is None else region.name for region in regions]


def make_unique(names: Iterable[str], *, taken: Iterable[str] = ()) -> list[str]:
    """Return names that differ from each other and from those `taken`: repeated ones numbered.

    Examples
    --------
    >>> make_unique(["cell", "cell", "nucleus"], taken=["nucleus"])
    ['cell', 'cell 2', 'nucleus 2']
    """
    used, unique = set(taken), list[str]()
    for name in names:
        free, number = name, 1
        while free in used:
            number += 1
            free = f"{name} {number}"
        used.add(free)
        unique.append(free)
    return unique


def _shorten_paths(paths: Sequence[str]) -> list[str]:
    """Return the ends of paths, printable: equal for equal paths only."""
    parts = [path.split("/") for path in paths]
    lengths = [_parts_from_last_suffix(one) for one in parts]
    ends, more = list(paths), 0
    while more <= max(map(len, parts), default=0):
        pairs = zip(parts, lengths, strict=True)
        ends = ["/".join(one[-(length + more) :]) or "/" for one, length in pairs]
        if len(set(ends)) == len(set(paths)):
            break
        more += 1
    return ["".join(c if c.isprintable() else "_" for c in end) for end in ends]


def _parts_from_last_suffix(parts: Sequence[str]) -> int:
    """Return the number of parts of a path from the last one with a suffix; without one, 1."""
    return next((n for n, part in enumerate(reversed(parts), 1) if SUFFIX.search(part)), 1)
