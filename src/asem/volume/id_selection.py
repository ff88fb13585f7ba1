"""Selected ids of labels: ``3,5-7``."""

import re
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from asem.config import shorten

MAX_ID = 2**64 - 2
"""Largest id; the largest value of uint64 is unlabelled."""
MAX_RANGES = 100_000
"""Most ids or ranges of one selection."""
PART_VOXELS = 2**20
"""Voxels compared at a time, to limit the memory for their indices."""
_RANGE = re.compile(r"\s*(\d{1,20})\s*(?:-\s*(\d{1,20})\s*)?")


@dataclass(frozen=True)
class IdSelection:
    """Set of ids, as sorted ranges that do not overlap.

    Parameters
    ----------
    ranges
        First and last id of each range.

    Examples
    --------
    >>> str(IdSelection.parse("5,3-4,9"))
    '3-4,5,9'
    >>> IdSelection.parse([1, "7-8"]).contains(np.array([0, 1, 6, 7, 8, 9], np.uint8)).tolist()
    [False, True, False, True, True, False]
    """

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read ids: a text like ``3,5-7``, an integer, or a list of both.

        Raises
        ------
        ValueError
            A part is no id or range; 0 is the background and no id.
        """
        if isinstance(value, cls):
            return value
        parts = value if isinstance(value, list | tuple) else [value]
        ranges = sorted(pair for part in parts for pair in _parse_ranges(part))
        if not 1 <= len(ranges) <= MAX_RANGES:
            raise ValueError(f"{len(ranges)} ids are given; give 1 to {MAX_RANGES}")
        merged = ranges[:1]
        for first, last in ranges[1:]:
            if first <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(last, merged[-1][1])
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    def contains(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return which ids, of an unsigned dtype, are selected."""
        largest = int(np.iinfo(ids.dtype).max)
        pairs = [(first, min(last, largest)) for first, last in self.ranges if first <= largest]
        if not pairs:
            return np.zeros(ids.shape, np.bool_)
        if ids.dtype.itemsize <= 2:
            table = np.zeros(largest + 1, np.bool_)
            for first, last in pairs:
                table[first : last + 1] = True
            return np.asarray(table[ids])
        firsts, lasts = (np.array(edge, ids.dtype) for edge in zip(*pairs, strict=True))
        flat, found = ids.reshape(-1), np.empty(ids.size, np.bool_)
        for start in range(0, flat.size, PART_VOXELS):
            part = flat[start : start + PART_VOXELS]
            index = np.searchsorted(firsts, part, side="right")
            is_within = part <= lasts[np.maximum(index, 1) - 1]
            found[start : start + PART_VOXELS] = (index > 0) & is_within
        return found.reshape(ids.shape)

    def find_present(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return for each range whether any of its ids occurs in an array, unsigned."""
        values = np.unique(ids[self.contains(ids)]).astype(np.uint64)
        edges = np.array(self.ranges, np.uint64)
        start = np.searchsorted(values, edges[:, 0], side="left")
        return np.asarray(start < np.searchsorted(values, edges[:, 1], side="right"))

    def check_present(self, is_present: npt.NDArray[np.bool_], name: str) -> None:
        """Raise ValueError where a range has no id that occurs in the labels `name`."""
        pairs = zip(self.ranges, is_present, strict=True)
        missing = IdSelection(tuple(pair for pair, found in pairs if not found))
        if missing.ranges:
            raise ValueError(
                f"{name} has no voxel with the ids {shorten(missing, str)}; `asem info --count` "
                "lists the ids of labels"
            )

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in self.ranges)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read texts, integers and lists in configurations; write texts."""
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema()
        )


def _parse_ranges(part: object) -> list[tuple[int, int]]:
    is_integer = isinstance(part, int) and not isinstance(part, bool)
    texts = part.split(",") if isinstance(part, str) else [str(part)] if is_integer else []
    matches = [_RANGE.fullmatch(text) for text in texts]
    ranges = [(int(found[1]), int(found[2] or found[1])) for found in matches if found is not None]
    if not texts or None in matches or not all(0 < a <= b <= MAX_ID for a, b in ranges):
        raise ValueError(
            f"ids {shorten(part, str)}: give ids of objects and ranges from 1 on, for instance "
            "3,5-7; 0 is the background"
        )
    return ranges
