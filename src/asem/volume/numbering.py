"""The order of a folder's planes: by the whole number in their names that counts them.

::

    slice_00004_z=0.3475um.tif      the whole number counts; the position need not be monotonic
    slice_00005_z=0.3470um.tif
    img_c0_z000.tif                 a channel (c, ch, channel, w), then the number that counts
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from asem.volume.channels import choose_channel

LOG = logging.getLogger(__name__)
NUMBER = re.compile(r"((?:(?<==)[-+])?\d+(?:\.\d+)?)")
"""A whole number, or one with a decimal point; a sign counts after ``=`` only."""
DIGITS = re.compile(r"(\d+)")
SUFFIX = re.compile(r"(\.ome)?\.tiff?$", re.IGNORECASE)
CHANNEL = re.compile(r"(^|[^a-z])(c|ch|chan|channel|w|wavelength)[ _=-]?$", re.IGNORECASE)
LENGTH = re.compile(r"^ ?(nm|um|µm|μm|mm)(?![a-zµμ])", re.IGNORECASE)

TIME_DIGITS, TIME_GAPS = 6, 10
"""A time, ``094551`` or ``20240101093000``, has so many digits, and so many gaps for each plane."""


@dataclass(frozen=True)
class _Column:
    """One number of the names, as it stands in each.

    Parameters
    ----------
    texts
        One for each file.
    before, after
        What stands around it in all names.
    """

    texts: tuple[str, ...]
    before: str
    after: str

    @property
    def values(self) -> list[float]:
        return [float(text) if "." in text else int(text) for text in self.texts]

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number in all names, and no length."""
        return all(text.isdecimal() for text in self.texts) and not self.is_length

    @property
    def is_length(self) -> bool:
        return LENGTH.match(self.after) is not None

    @property
    def is_time(self) -> bool:
        """Whether it is no counter but a time: long numbers, most of those between not there."""
        long = all(len(text) >= TIME_DIGITS for text in self.texts)
        return self.is_whole and long and self.lacking > TIME_GAPS * len(self.texts)

    @property
    def is_distinct(self) -> bool:
        return len(set(self.values)) == len(self.texts)

    @property
    def lacking(self) -> int:
        """How many whole numbers between the least and the largest are not there."""
        whole = {int(value) for value in self.values}
        return max(whole) - min(whole) + 1 - len(whole)

    def part(self, places: Sequence[int]) -> "_Column":
        return _Column(tuple(self.texts[n] for n in places), self.before, self.after)


def in_order(files: Sequence[Path], channel: str | None = None) -> list[Path]:
    """Sort files by the number that counts them.

    Of several numbers that differ from name to name, whole ones come before those with a decimal
    point and before lengths (``z=0.3475um``), and those without a gap before others.

    Parameters
    ----------
    files
        All of one folder; their suffixes may differ.
    channel
        Which one to take where a number after ``c``, ``ch``, ``channel`` or ``w`` numbers several.

    Raises
    ------
    ValueError
        The names have different forms, no number or more than one counts the files, a number is
        there twice, or numbers lack.
    """
    if len(files) == 1:
        return list(files)
    columns = _columns(files, NUMBER) or _columns(files, DIGITS)
    if columns is None:
        first, other = _differently_named(files)
        raise ValueError(
            f"{first.name} and {other.name} in {first.parent} are named differently; keep nothing "
            "but the planes of one stack in the folder"
        )
    varying = [column for column in columns if len(set(column.values)) > 1]
    files, varying = _of_channel(list(files), varying, channel)
    if len(files) == 1:
        return files
    counting = _counting(varying)
    if counting is None and (digits := _columns(files, DIGITS)) is not None:
        counting = _counting([column for column in digits if len(set(column.values)) > 1])
    if counting is None:
        counting = _by_length(varying)
    if counting is None:
        raise ValueError(_ambiguous(files, varying))
    values = counting.values
    order = sorted(range(len(files)), key=values.__getitem__)
    ordered = [files[n] for n in order]
    if counting.is_time:
        LOG.warning(
            "%s: the planes are ordered by the time in their names; a plane that lacks is not "
            "noticed",
            files[0].parent,
        )
    elif counting.is_whole:
        _refuse_gaps([int(values[n]) for n in order], ordered)
    return ordered


def _columns(files: Sequence[Path], number: re.Pattern[str]) -> list[_Column] | None:
    """Cut names at their numbers; None where the rest differs."""
    split = [number.split(SUFFIX.sub("", path.name)) for path in files]
    form = split[0][0::2]
    if any(parts[0::2] != form for parts in split):
        return None
    texts = zip(*(parts[1::2] for parts in split), strict=True)
    return [_Column(tuple(own), form[n], form[n + 1]) for n, own in enumerate(texts)]


def _differently_named(files: Sequence[Path]) -> tuple[Path, Path]:
    forms = {path: DIGITS.split(SUFFIX.sub("", path.name))[0::2] for path in files}
    first = files[0]
    return first, next(path for path in files if forms[path] != forms[first])


def _of_channel(
    files: list[Path], varying: list[_Column], channel: str | None
) -> tuple[list[Path], list[_Column]]:
    """Take the files of one channel, where a number of the names is one."""
    named = (n for n, c in enumerate(varying) if c.is_whole and CHANNEL.search(c.before))
    number = next(named, None)
    if number is None:
        return files, varying
    if channel is None and varying[number].is_distinct:
        _warn_of_channels(files, varying)
        return files, varying
    of = varying.pop(number).values
    names = {int(value): str(int(value)) for value in sorted(set(of))}
    one = choose_channel(names, (), channel, str(files[0].parent))
    places = [n for n, value in enumerate(of) if value == one]
    parts = [column.part(places) for column in varying]
    return [files[n] for n in places], [c for c in parts if len(set(c.values)) > 1]


def _warn_of_channels(files: Sequence[Path], varying: Sequence[_Column]) -> None:
    """Log a warning where the only number may be a channel's: ``img_c0.tif``, not ``c0.tif``."""
    match = CHANNEL.search(varying[0].before)
    if len(varying) == 1 and match is not None and match[1]:
        LOG.warning(
            "%s: the numbers after %r are taken as those of planes; --channel takes one of them as "
            "a channel",
            files[0].parent,
            varying[0].before,
        )


def _counting(varying: Sequence[_Column]) -> _Column | None:
    """Return the whole number that counts the files, if there is one.

    Among several that are different in every name, one without a gap; where none or more than one
    is, they must agree on the order.
    """
    distinct = [column for column in varying if column.is_whole and column.is_distinct]
    whole = [column for column in distinct if column.lacking == 0] or distinct
    if not whole:
        return None
    orders = {tuple(sorted(range(len(c.texts)), key=c.values.__getitem__)) for c in whole}
    return min(whole, key=lambda column: column.lacking) if len(orders) == 1 else None


def _by_length(varying: Sequence[_Column]) -> _Column | None:
    """Return the position along z in the names, where nothing counts them."""
    lengths = [column for column in varying if column.is_length and column.is_distinct]
    if len(lengths) != 1 or len(varying) != 1:
        return None
    LOG.warning(
        "the planes are ordered by the length in their names (%s%s); a plane that lacks is not "
        "noticed",
        lengths[0].before,
        lengths[0].texts[0],
    )
    return lengths[0]


def _ambiguous(files: Sequence[Path], varying: Sequence[_Column]) -> str:
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
        "one must count them"
    )


def _refuse_gaps(numbers: Sequence[int], files: Sequence[Path]) -> None:
    gaps = [(n, a, b) for n, (a, b) in enumerate(pairwise(numbers)) if b > a + 1]
    if gaps:
        missing = numbers[-1] - numbers[0] + 1 - len(numbers)
        listed = ", ".join(f"{a + 1}" if b == a + 2 else f"{a + 1}-{b - 1}" for _, a, b in gaps[:3])
        more = ", ..." if len(gaps) > 3 else ""
        raise ValueError(
            f"{files[0].parent} lacks {missing} of its planes: number {listed}{more} (the first "
            f"after {files[gaps[0][0]].name}); add them, or rename the planes without a gap"
        )
