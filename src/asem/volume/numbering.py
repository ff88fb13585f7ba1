"""The order of a folder's planes: by the number in their names, as numbers, without gaps."""

import re
from itertools import pairwise
from pathlib import Path


def in_order(files: list[Path]) -> list[Path]:
    """Sort files by the one number that counts them.

    Raises
    ------
    ValueError
        The names have different forms, more than one number that counts, a number twice or a gap.
    """
    if len(files) == 1:
        return files
    split = {path: re.split(r"(\d+)", path.name) for path in files}
    first = files[0]
    for path in files:
        if split[path][0::2] != split[first][0::2]:
            raise ValueError(
                f"{first.name} and {path.name} in {first.parent} are named differently; keep "
                "nothing but the planes of one stack in the folder"
            )
    numbers = {path: [int(n) for n in parts[1::2]] for path, parts in split.items()}
    places = range(len(numbers[first]))
    counting = [place for place in places if len({n[place] for n in numbers.values()}) > 1]
    if len(counting) != 1:
        raise ValueError(
            f"the planes in {first.parent} differ in {len(counting)} numbers of their names "
            f"({first.name}); exactly one must count them"
        )
    by_number: dict[int, Path] = {}
    for path in files:
        number = numbers[path][counting[0]]
        if number in by_number:
            raise ValueError(
                f"{by_number[number].name} and {path.name} are the same plane {number}"
            )
        by_number[number] = path
    _refuse_gaps(sorted(by_number), by_number, first.parent)
    return [by_number[number] for number in sorted(by_number)]


def _refuse_gaps(numbers: list[int], by_number: dict[int, Path], folder: Path) -> None:
    gaps = [(a, b) for a, b in pairwise(numbers) if b > a + 1]
    if gaps:
        missing = numbers[-1] - numbers[0] + 1 - len(numbers)
        listed = ", ".join(f"{a + 1}" if b == a + 2 else f"{a + 1}-{b - 1}" for a, b in gaps[:3])
        more = ", ..." if len(gaps) > 3 else ""
        raise ValueError(
            f"{folder} lacks {missing} of its planes: number {listed}{more} (the first after "
            f"{by_number[gaps[0][0]].name}); add them, or rename the planes without a gap"
        )
