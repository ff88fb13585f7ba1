"""Processes that begin, finish and replace one output at the same moment."""

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from asem.blocks import journal
from asem.blocks.output import new_image
from asem.system.files import is_temporary
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
from asem.system import locks
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


def delete(image):
    shutil.rmtree(image)


def move(image):
    image.rename(image.with_name("moved"))


def delete_lock(image):
    (image / ".asem/lock").unlink()


def delete_own_folder(image):
    shutil.rmtree(image / ".asem")


def delete_journal(image):
    (image / ".asem/journal.jsonl").unlink()


def replace_journal(image):
    path = image / ".asem/journal.jsonl"
    text = path.read_text()
    path.unlink()
    path.write_text(text)


LOST = [delete, move, delete_lock, delete_own_folder, delete_journal, replace_journal]


MESSAGE = r"mito was deleted, moved or begun anew"


@pytest.mark.parametrize("lose", LOST)
@pytest.mark.parametrize("written", [False, True])
def test_an_output_that_is_lost_under_way_is_not_declared_finished(tmp_path, lose, written):
    image = tmp_path / "mito"
    first = begin(image)
    output = first.__enter__()
    if written:
        write(output)
    lose(image)
    with pytest.raises(OSError, match=MESSAGE):
        first.__exit__(None, None, None)
    assert not ngff.is_image(image)
    assert not ngff.is_image(tmp_path / "moved")


@pytest.mark.parametrize("lose", LOST)
def test_no_block_is_recorded_in_an_output_that_is_lost(tmp_path, lose):
    image = tmp_path / "mito"
    first = begin(image)
    record = first.__enter__().journal.record
    record("a")
    lose(image)
    with pytest.raises(OSError, match=MESSAGE):
        record("b")
    with pytest.raises(OSError, match=MESSAGE):
        first.__exit__(None, None, None)
    assert not any('"b"' in path.read_text() for path in tmp_path.rglob("journal.jsonl"))


@pytest.mark.parametrize("lose", [delete, move, delete_lock, delete_own_folder])
def test_another_run_has_an_output_for_itself(tmp_path, lose):
    """What the first one, or a worker of it, writes from then on is refused."""
    image, other = tmp_path / "mito", {"command": "test", "request": {"a": 2}, "sources": []}
    template = Volume(Blank(SHAPE, np.dtype(np.uint8)), (5.0, 5.0, 5.0), kind="labels")
    first, wrong = begin(image), np.full(SHAPE, 9, np.uint8)
    output = first.__enter__()
    on_a_worker = pickle.loads(pickle.dumps(output.array))
    found, scratch = output.partials("found"), output.scratch("s", SHAPE, np.uint8, SHAPE)
    lose(image)
    with new_image(image, template, **other, overwrite=True) as second:
        write(second)
        for act in (
            lambda: on_a_worker.write((slice(None),) * 3, wrong),
            lambda: scratch.write((slice(None),) * 3, wrong),
            lambda: found.save(second.volume.roi, a=wrong),
            lambda: output.journal.record("a"),
        ):
            with pytest.raises(OSError, match=MESSAGE):
                act()
    with pytest.raises(OSError, match=MESSAGE):
        write(output)
    with pytest.raises(OSError, match=MESSAGE):
        first.__exit__(None, None, None)
    shutil.rmtree(tmp_path / "moved", ignore_errors=True)
    check_whole(image)
    assert ngff.read_metadata(image).own.made_by["request"] == {"a": 2}


def test_what_is_lost_at_the_last_moment_is_not_declared_finished(tmp_path, monkeypatch):
    """The groups above may be waited for; only then the image is looked at for the last time."""
    image, write_groups = tmp_path / "cell.zarr/labels/mito", ngff._write_groups_above

    def late(*words, **options):
        write_groups(*words, **options)
        shutil.rmtree(image)
        image.mkdir()

    monkeypatch.setattr(ngff, "_write_groups_above", late)
    with pytest.raises(OSError, match=r"mito was deleted"), begin(image) as output:
        write(output)
    assert list(image.iterdir()) == []


def test_a_journal_that_another_run_has_just_begun_is_not_taken(tmp_path, monkeypatch):
    """The folder is deleted, and another run begins, between the lock and the journal."""
    image, claim, inside = tmp_path / "mito", journal.claim, []

    def late(folder, check, may_delete):
        monkeypatch.setattr(journal, "claim", claim)
        lock = claim(folder, check, may_delete)
        shutil.rmtree(folder)
        (image / ".asem").mkdir(parents=True)
        inside.append(journal.locked(image))
        return lock

    monkeypatch.setattr(journal, "claim", late)
    with pytest.raises(OSError, match=r"mito was deleted"), begin(image):
        pass
    with journal.Journal(image, {"a": 2}, inside[0]) as other:
        other.record("a")
        assert other.path.read_text().count("request") == 1
