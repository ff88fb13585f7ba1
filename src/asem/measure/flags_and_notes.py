"""Flags and notes of measured objects: names, joined in a column of a table."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

SEPARATOR = ";"


def join_names(count: int, *marks: Mapping[str, npt.NDArray[np.bool_]]) -> list[list[str]]:
    """Return the names of the marks that are set for each object, in their order.

    Examples
    --------
    >>> join_names(2, {"small": np.array([True, False]), "cut": np.array([True, True])})
    [['small', 'cut'], ['cut']]
    """
    names: list[list[str]] = [[] for _ in range(count)]
    for mark in marks:
        for name, is_set in mark.items():
            for row in np.flatnonzero(is_set).tolist():
                names[row].append(name)
    return names


def format_names(names: Sequence[Sequence[str]]) -> list[str]:
    """Return the text of a column of flags or notes, each name once.

    Examples
    --------
    >>> format_names([["cut", "no_rim", "cut"], []])
    ['cut;no_rim', '']
    """
    return [SEPARATOR.join(dict.fromkeys(each)) for each in names]


def count_names(texts: Iterable[str]) -> dict[str, int]:
    """Return how often each name is in a column of flags or notes, the most frequent first.

    Examples
    --------
    >>> count_names(["cut", "", "no_rim;cut"])
    {'cut': 2, 'no_rim': 1}
    """
    names = [name for text in texts for name in text.split(SEPARATOR) if name]
    distinct = sorted(set(names), key=lambda name: (-names.count(name), name))
    return {name: names.count(name) for name in distinct}
