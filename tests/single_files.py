"""Files of one format, damaged: each gives one line that names the file."""

from pathlib import Path
from random import Random

import pytest

from asem.volume.address import Address
from asem.volume.formats.detect import open_source_image
from asem.volume.formats.source_image import SourceOptions

SLICES = (slice(0, 2), slice(0, 5), slice(0, 5))


def open_level(address, *, kind=None, **options):
    """Return the finest level of an image."""
    return open_source_image(Address.parse(str(address)), SourceOptions(**options), kind).levels[0]


def read_all(address):
    return open_level(address).array[:, :, :]


def check_damaged(path: Path, dataset: str = "", *, count: int, header: int) -> None:
    """Truncate a file and change its bytes at random places, half of them in its header."""
    good, random, messages = path.read_bytes(), Random(0), []
    for number in range(count):
        data = bytearray(good)
        if number % 4 == 0:
            data = data[: random.randrange(len(data))]
        else:
            limit = header if number % 2 else len(data)
            for _ in range(random.choice([1, 2, 8])):
                data[random.randrange(limit)] = random.choice([0, 255, random.randrange(256)])
        path.write_bytes(data)
        try:
            open_level(f"{path}{dataset}").array[SLICES]
        except (ValueError, OSError) as error:
            messages.append(str(error))
    assert len(messages) > count // 5
    assert [text for text in messages if path.name not in text or not text.isprintable()] == []
    path.write_bytes(good)


def check_changed(path: Path, dataset: str = "") -> None:
    """Reading raises OSError after the file has grown."""
    array = open_level(f"{path}{dataset}").array
    array[SLICES]
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(OSError, match=rf"{path.name} changed after it was opened \(its size\)"):
        array[SLICES]
