"""Sort the planes of a folder by the counter in their file names.

::

    slice_00004_z=0.3475um.tif      the integer is the counter; positions may be in any order
    slice_00005_z=0.3470um.tif
    img_c0_z000.tif                 a channel (c, ch, channel, w), then the counter
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from asem.volume.channel_selection import select_channel

LOG = logging.getLogger(__name__)
NUMBER_PATTERN = re.compile(r"((?:(?<==)[-+])?\d+(?:\.\d+)?)")
"""An integer or a number with a decimal point; signs are read after ``=`` only."""
DIGITS_PATTERN = re.compile(r"(\d+)")
SUFFIX_PATTERN = re.compile(r"(\.ome)?\.(tiff?|png)$", re.IGNORECASE)
CHANNEL_PATTERN = re.compile(r"(^|[^a-z])(c|ch|chan|channel|w|wavelength)[ _=-]?$", re.IGNORECASE)
LENGTH_PATTERN = re.compile(r"^ ?(nm|um|µm|μm|mm)(?![a-zµμ])", re.IGNORECASE)

MIN_TIMESTAMP_DIGITS, MIN_TIMESTAMP_GAPS = 6, 10
"""Minimum digits of a time, ``094551`` or ``20240101093000``, and missing numbers per plane."""


@dataclass(frozen=True)
class _NameNumber:
    """The number at one position of all file names.

    Parameters
    ----------
    texts
        Digits in each name.
    prefix, suffix
        Text before and after the number, equal in all names.
    """

    texts: tuple[str, ...]
    prefix: str
    suffix: str

    @property
    def values(self) -> list[float]:
        return [float(text) if "." in text else int(text) for text in self.texts]

    @property
    def is_whole(self) -> bool:
        """Whether it is an integer in all names, and no length."""
        return all(text.isdecimal() for text in self.texts) and not self.is_length

    @property
    def is_length(self) -> bool:
        return LENGTH_PATTERN.match(self.suffix) is not None

    @property
    def is_timestamp(self) -> bool:
        """Whether it is a time, not a counter: long numbers with many missing between them."""
        long = all(len(text) >= MIN_TIMESTAMP_DIGITS for text in self.texts)
        return self.is_whole and long and self.missing_count > MIN_TIMESTAMP_GAPS * len(self.texts)

    @property
    def is_unique(self) -> bool:
        return len(set(self.values)) == len(self.texts)

    @property
    def missing_count(self) -> int:
        """Number of missing integers between the smallest and the largest."""
        integers = {int(value) for value in self.values}
        return max(integers) - min(integers) + 1 - len(integers)

    def subset(self, file_indices: Sequence[int]) -> "_NameNumber":
        return _NameNumber(tuple(self.texts[n] for n in file_indices), self.prefix, self.suffix)


def list_plane_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files of a folder that have one of `suffixes`, without hidden ones; by name.

    Raises
    ------
    ValueError
        There is none.
    """
    files = [entry for entry in folder.iterdir() if entry.suffix.lower() in suffixes]
    files = sorted(path for path in files if not (path.name.startswith(".") or path.is_dir()))
    if not files:
        allowed = ", ".join(f"*{suffix}" for suffix in suffixes)
        name = suffixes[-1].removeprefix(".").upper()
        raise ValueError(f"{folder} holds no {name} file ({allowed})")
    return files


def sort_planes(files: Sequence[Path], channel: str | None = None) -> list[Path]:
    """Sort files by the counter in their names.

    Of several numbers that differ from name to name, integers have priority over numbers with a
    decimal point and over lengths (``z=0.3475um``), and numbers without a gap over others.

    Parameters
    ----------
    files
        All of one folder; their suffixes may differ.
    channel
        The channel to read where the number after ``c``, ``ch``, ``channel`` or ``w`` differs.

    Raises
    ------
    ValueError
        The names have different forms, no or more than one counter, a number occurs twice, or
        numbers are missing.
    """
    if len(files) == 1:
        return list(files)
    columns = _split_names(files, NUMBER_PATTERN) or _split_names(files, DIGITS_PATTERN)
    if columns is None:
        first, other = _find_different_names(files)
        raise ValueError(
            f"{first.name} and {other.name} in {first.parent} are named differently; keep nothing "
            "but the planes of one stack in the folder"
        )
    varying = [column for column in columns if len(set(column.values)) > 1]
    files, varying = _select_channel_files(list(files), varying, channel)
    if len(files) == 1:
        return files
    counter = _find_counter(varying)
    if counter is None and (digits := _split_names(files, DIGITS_PATTERN)) is not None:
        counter = _find_counter([column for column in digits if len(set(column.values)) > 1])
    if counter is None:
        counter = _find_position(varying)
    if counter is None:
        raise ValueError(_ambiguous_message(files, varying))
    values = counter.values
    order = sorted(range(len(files)), key=values.__getitem__)
    ordered = [files[n] for n in order]
    if counter.is_timestamp:
        LOG.warning(
            "%s: the planes are ordered by the time in their names; missing planes are not "
            "detected",
            files[0].parent,
        )
    elif counter.is_whole:
        _check_no_gaps([int(values[n]) for n in order], ordered)
    return ordered


def _split_names(files: Sequence[Path], number: re.Pattern[str]) -> list[_NameNumber] | None:
    """Split names at their numbers; None where the text between them differs."""
    split = [number.split(SUFFIX_PATTERN.sub("", path.name)) for path in files]
    form = split[0][0::2]
    if any(parts[0::2] != form for parts in split):
        return None
    columns = zip(*(parts[1::2] for parts in split), strict=True)
    return [_NameNumber(tuple(texts), form[n], form[n + 1]) for n, texts in enumerate(columns)]


def _find_different_names(files: Sequence[Path]) -> tuple[Path, Path]:
    forms = {path: DIGITS_PATTERN.split(SUFFIX_PATTERN.sub("", path.name))[0::2] for path in files}
    first = files[0]
    return first, next(path for path in files if forms[path] != forms[first])


def _select_channel_files(
    files: list[Path], varying: list[_NameNumber], channel: str | None
) -> tuple[list[Path], list[_NameNumber]]:
    """Select the files of one channel, where one number of the names is a channel number."""
    channels = (n for n, c in enumerate(varying) if c.is_whole and CHANNEL_PATTERN.search(c.prefix))
    column_index = next(channels, None)
    if column_index is None:
        return files, varying
    if channel is None and varying[column_index].is_unique:
        _warn_of_channels(files, varying)
        return files, varying
    channel_of_file = varying.pop(column_index).values
    numbers = sorted({int(value) for value in channel_of_file})
    selected = select_channel(numbers, (), channel, str(files[0].parent))
    file_indices = [n for n, value in enumerate(channel_of_file) if value == selected]
    columns = [column.subset(file_indices) for column in varying]
    return [files[n] for n in file_indices], [c for c in columns if len(set(c.values)) > 1]


def _warn_of_channels(files: Sequence[Path], varying: Sequence[_NameNumber]) -> None:
    """Log a warning where the only number may be a channel: ``img_c0.tif``, not ``c0.tif``."""
    match = CHANNEL_PATTERN.search(varying[0].prefix)
    if len(varying) == 1 and match is not None and match[1]:
        LOG.warning(
            "%s: the numbers after %r are read as plane numbers; --channel reads one of them as a "
            "channel",
            files[0].parent,
            varying[0].prefix,
        )


def _find_counter(varying: Sequence[_NameNumber]) -> _NameNumber | None:
    """Return the integer that numbers the files, if there is one.

    Of several integers that differ in every name, the one without a gap; if there is none or more
    than one, all must give the same order.
    """
    unique = [column for column in varying if column.is_whole and column.is_unique]
    candidates = [column for column in unique if column.missing_count == 0] or unique
    if not candidates:
        return None
    orders = {tuple(sorted(range(len(c.texts)), key=c.values.__getitem__)) for c in candidates}
    return min(candidates, key=lambda column: column.missing_count) if len(orders) == 1 else None


def _find_position(varying: Sequence[_NameNumber]) -> _NameNumber | None:
    """Return the position along z in the names, where there is no counter."""
    lengths = [column for column in varying if column.is_length and column.is_unique]
    if len(lengths) != 1 or len(varying) != 1:
        return None
    LOG.warning(
        "the planes are ordered by the length in their names (%s%s); missing planes are not "
        "detected",
        lengths[0].prefix,
        lengths[0].texts[0],
    )
    return lengths[0]


def _ambiguous_message(files: Sequence[Path], varying: Sequence[_NameNumber]) -> str:
    folder, name = files[0].parent, files[0].name
    for column in varying if len(varying) == 1 else ():
        seen: dict[float, Path] = {}
        for value, path in zip(column.values, files, strict=True):
            if value in seen:
                return f"{seen[value].name} and {path.name} in {folder} are the same plane {value}"
            seen[value] = path
    if not varying:
        return f"{name} and {files[1].name} in {folder} are the same plane"
    return (
        f"the planes in {folder} differ in {len(varying)} numbers of their names ({name}); exactly "
        "one must number the planes"
    )


def _check_no_gaps(numbers: Sequence[int], files: Sequence[Path]) -> None:
    gaps = [(n, a, b) for n, (a, b) in enumerate(pairwise(numbers)) if b > a + 1]
    if gaps:
        missing = numbers[-1] - numbers[0] + 1 - len(numbers)
        listed = ", ".join(f"{a + 1}" if b == a + 2 else f"{a + 1}-{b - 1}" for _, a, b in gaps[:3])
        more = ", ..." if len(gaps) > 3 else ""
        raise ValueError(
            f"{files[0].parent} lacks {missing} of its planes: number {listed}{more} (the first "
            f"after {files[gaps[0][0]].name}); add them, or rename the planes without a gap"
        )
