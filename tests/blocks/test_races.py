"""Processes that begin, finish and replace one output at the same moment."""

import subprocess
import sys

import numpy as np
import pytest

from asem.blocks import journal
from asem.blocks.output import new_image
from asem.files import is_temporary
from asem.volume import ngff
from asem.volume.volume import Blank, Volume

ROUNDS, SHAPE = 25, (3, 4, 5)
# Meets the others at the beginning of each round, then writes the image of that round.
WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from asem.blocks.output import new_image
from asem.volume.volume import Blank, Volume

me, processes, rounds, overwrite = *map(int, sys.argv[1:4]), sys.argv[4] == "1"
template = Volume(Blank({shape}, np.dtype("uint8")), (5.0, 5.0, 5.0), kind="labels")
for number in range(rounds):
    Path(f"meet/{{number}}").mkdir(parents=True, exist_ok=True)
    Path(f"meet/{{number}}/{{me}}").touch()
    while len(list(Path(f"meet/{{number}}").iterdir())) < processes:
        pass
    time.sleep(me * number % 7 * 0.002)
    path = Path(f"{{number}}.zarr/labels/mito")
    options = dict(command="test", request={{"a": 1}}, sources=[], overwrite=overwrite)
    try:
        with new_image(path, template, **options) as output:
            output.array.write((slice(None),) * 3, np.full({shape}, 7, np.uint8)).result()
        print("made", flush=True)
    except (FileExistsError, BlockingIOError) as error:
        print(type(error).__name__, flush=True)
    except Exception as error:
        print(repr(error), file=sys.stderr)
"""


def run_writers(folder, *, processes, overwrite):
    code = WRITER.format(shape=SHAPE)
    words = [
        [sys.executable, "-c", code, str(me), str(processes), str(ROUNDS), str(int(overwrite))]
        for me in range(processes)
    ]
    writing = [
        subprocess.Popen(each, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for each in words
    ]
    ended = [process.communicate() for process in writing]
    assert [faults.decode() for _, faults in ended] == [""] * processes
    return list(zip(*(told.decode().split() for told, _ in ended), strict=True))


def check_whole(image):
    """The image is finished and right, and nothing else lies there."""
    volume = ngff.open_image(image)
    assert (volume.read(volume.roi) == 7).all()
    assert not [p.name for p in image.iterdir() if p.name != "zarr.json" and not p.name.isdigit()]
    assert [path.name for path in image.parent.iterdir() if path.name != "zarr.json"] == ["mito"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_those_that_begin_at_once_one_writes_and_nothing_is_damaged(tmp_path, overwrite):
    for told in run_writers(tmp_path, processes=3, overwrite=overwrite):
        assert "made" in told
        assert overwrite or told.count("made") == 1
    for number in range(ROUNDS):
        check_whole(tmp_path / f"{number}.zarr/labels/mito")


def begin(path, **options):
    template = Volume(Blank(SHAPE, np.dtype(np.uint8)), (5.0, 5.0, 5.0), kind="labels")
    return new_image(path, template, command="test", request={"a": 1}, sources=[], **options)


def write(output):
    output.array.write((slice(None),) * 3, np.full(SHAPE, 7, np.uint8)).result()


@pytest.mark.parametrize("overwrite", [False, True])
def test_one_that_finishes_between_the_check_and_the_lock_stays(tmp_path, monkeypatch, overwrite):
    """What is seen before the lock is held counts for nothing."""
    image, locked = tmp_path / "cell.zarr/labels/mito", journal.locked

    def late(folder):
        monkeypatch.setattr(journal, "locked", locked)
        with begin(image) as other:  # seen as vacant, finished by now
            write(other)
        return locked(folder)

    monkeypatch.setattr(journal, "locked", late)
    if overwrite:
        with begin(image, overwrite=True) as output:
            write(output)
    else:
        with pytest.raises(FileExistsError, match="exists already"), begin(image):
            pass
    check_whole(image)


def test_one_that_ends_while_another_waits_for_its_lock_stays(tmp_path, monkeypatch):
    """The lock that the other gets in the end is that of a folder that is gone."""
    image = tmp_path / "cell.zarr/labels/mito"
    first = begin(image)
    write(first.__enter__())
    waiting = subprocess.Popen(
        [sys.executable, "-c", WAITER, str(image)], stdout=subprocess.PIPE, text=True
    )
    assert waiting.stdout.readline() == "waits\n"
    first.__exit__(None, None, None)
    assert waiting.communicate()[0] == "FileExistsError\n"
    check_whole(image)


WAITER = f"""
import sys
from pathlib import Path
import numpy as np
from asem import locks
from asem.blocks import journal
from asem.blocks.output import new_image
from asem.volume.volume import Blank, Volume

journal.PATIENCE_S = 60
sleep = locks.time.sleep

def told(seconds):
    locks.time.sleep = sleep
    print("waits", flush=True)

locks.time.sleep = told
template = Volume(Blank({SHAPE}, np.dtype("uint8")), (5.0, 5.0, 5.0), kind="labels")
try:
    with new_image(Path(sys.argv[1]), template, command="test", request={{"a": 1}}, sources=[]):
        print("made")
except OSError as error:
    print(type(error).__name__)
"""


def test_what_a_killed_process_left_hinders_nobody(tmp_path):
    image = tmp_path / "mito"
    (image / ".asem").mkdir(parents=True)
    (image / ".asem/lock").touch()
    name = f".asem-{'0' * 32}.partial"
    assert is_temporary(name)
    (image / name).touch()
    with begin(image) as output:
        write(output)
    (image / ".asem").mkdir()  # killed after the metadata, before the end
    (image / ".asem/journal.jsonl").write_text('{"request": {"command": "test", "a": 1}}\n')
    with pytest.raises(FileExistsError, match="exists already"), begin(image):
        pass
    assert not (image / ".asem").exists()
    with begin(image, overwrite=True) as output:
        write(output)
    assert not (image / name).exists()
