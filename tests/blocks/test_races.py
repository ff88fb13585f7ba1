"""Processes that start, finish and replace one output at the same time."""

import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from asem.blocks import output_image, output_lock
from asem.blocks.journal import Journal
from asem.blocks.output_image import create_image
from asem.system.files import is_temporary_name
from asem.volume import ngff, zarr_groups
from asem.volume.volume import Volume
from asem.volume.zero_array import ZeroArray

ROUNDS, SHAPE = 25, (3, 4, 5)
# Waits for the others at the start of each round, then writes the image of that round.
WRITER = """
import sys, time
from pathlib import Path
import numpy as np
from asem.blocks.output_image import create_image
from asem.volume.volume import Volume
from asem.volume.zero_array import ZeroArray

me, processes, rounds, overwrite = *map(int, sys.argv[1:4]), sys.argv[4] == "1"
template = Volume(ZeroArray({shape}, np.dtype("uint8")), (5.0, 5.0, 5.0), kind="labels")
for number in range(rounds):
    Path(f"meet/{{number}}").mkdir(parents=True, exist_ok=True)
    Path(f"meet/{{number}}/{{me}}").touch()
    while len(list(Path(f"meet/{{number}}").iterdir())) < processes:
        time.sleep(0.0005)
    time.sleep(me * number % 7 * 0.002)
    path = Path(f"{{number}}.zarr/labels/mito")
    options = dict(command="test", request={{"a": 1}}, sources=[], overwrite=overwrite)
    try:
        with create_image(path, template, **options) as output:
            output.array.write((slice(None),) * 3, np.full({shape}, 7, np.uint8)).result()
        print("written", flush=True)
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
    assert [errors.decode() for _, errors in ended] == [""] * processes
    return list(zip(*(printed.decode().split() for printed, _ in ended), strict=True))


def check_whole(image):
    """The image is finished and correct, and the folder has no other files."""
    volume = ngff.open_image(image)
    assert (volume.read(volume.roi) == 7).all()
    assert not [p.name for p in image.iterdir() if p.name != "zarr.json" and not p.name.isdigit()]
    assert [path.name for path in image.parent.iterdir() if path.name != "zarr.json"] == ["mito"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_of_simultaneous_runs_one_writes_and_nothing_is_damaged(tmp_path, overwrite):
    for outcomes in run_writers(tmp_path, processes=3, overwrite=overwrite):
        assert "written" in outcomes
        assert overwrite or outcomes.count("written") == 1
    for number in range(ROUNDS):
        check_whole(tmp_path / f"{number}.zarr/labels/mito")


def start(path, **options):
    template = Volume(ZeroArray(SHAPE, np.dtype(np.uint8)), (5.0, 5.0, 5.0), kind="labels")
    return create_image(path, template, command="test", request={"a": 1}, sources=[], **options)


def write(output):
    output.array.write((slice(None),) * 3, np.full(SHAPE, 7, np.uint8)).result()


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_that_finishes_between_check_and_lock_is_not_replaced(
    tmp_path, monkeypatch, overwrite
):
    """Only the check under the lock is decisive."""
    image, locked = tmp_path / "cell.zarr/labels/mito", output_lock.lock_output

    def late(folder):
        monkeypatch.setattr(output_lock, "lock_output", locked)
        with start(image) as other:  # empty at the check, finished by now
            write(other)
        return locked(folder)

    monkeypatch.setattr(output_lock, "lock_output", late)
    if overwrite:
        with start(image, overwrite=True) as output:
            write(output)
    else:
        with pytest.raises(FileExistsError, match="exists already"), start(image):
            pass
    check_whole(image)


def test_an_output_that_finishes_while_another_run_waits_is_not_replaced(tmp_path, monkeypatch):
    """The other run finally locks a file in a deleted folder."""
    image = tmp_path / "cell.zarr/labels/mito"
    first = start(image)
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
from asem.blocks import output_lock
from asem.blocks.output_image import create_image
from asem.volume.volume import Volume
from asem.volume.zero_array import ZeroArray

output_lock.LOCK_TIMEOUT_S = 60
sleep = locks.time.sleep

def report(seconds):
    locks.time.sleep = sleep
    print("waits", flush=True)

locks.time.sleep = report
template = Volume(ZeroArray({SHAPE}, np.dtype("uint8")), (5.0, 5.0, 5.0), kind="labels")
try:
    with create_image(Path(sys.argv[1]), template, command="test", request={{"a": 1}}, sources=[]):
        print("written")
except OSError as error:
    print(type(error).__name__)
"""


def test_leftovers_of_a_killed_process_have_no_effect(tmp_path):
    image = tmp_path / "mito"
    (image / ".asem").mkdir(parents=True)
    (image / ".asem/lock").touch()
    name = f".asem-{'0' * 32}.partial"
    assert is_temporary_name(name)
    (image / name).touch()
    with start(image) as output:
        write(output)
    (image / ".asem").mkdir()  # killed after the metadata, before the end
    (image / ".asem/journal.jsonl").write_text('{"request": {"command": "test", "a": 1}}\n')
    with pytest.raises(FileExistsError, match="exists already"), start(image):
        pass
    assert not (image / ".asem").exists()
    with start(image, overwrite=True) as output:
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


MESSAGE = r"mito was deleted, moved or restarted"


@pytest.mark.parametrize("lose", LOST)
@pytest.mark.parametrize("written", [False, True])
def test_an_output_that_is_lost_during_a_run_is_not_finished(tmp_path, lose, written):
    image = tmp_path / "mito"
    first = start(image)
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
    first = start(image)
    record = first.__enter__().journal.record
    record("a")
    lose(image)
    with pytest.raises(OSError, match=MESSAGE):
        record("b")
    with pytest.raises(OSError, match=MESSAGE):
        first.__exit__(None, None, None)
    assert not any('"b"' in path.read_text() for path in tmp_path.rglob("journal.jsonl"))


@pytest.mark.parametrize("lose", [delete, move, delete_lock, delete_own_folder])
def test_a_run_cannot_write_to_an_output_that_another_run_restarted(tmp_path, lose):
    """Later writes of the first run, and of its workers, raise an error."""
    image, other = tmp_path / "mito", {"command": "test", "request": {"a": 2}, "sources": []}
    template = Volume(ZeroArray(SHAPE, np.dtype(np.uint8)), (5.0, 5.0, 5.0), kind="labels")
    first, wrong = start(image), np.full(SHAPE, 9, np.uint8)
    output = first.__enter__()
    on_a_worker = pickle.loads(pickle.dumps(output.array))
    results, scratch = (
        output.block_results("results"),
        output.scratch_array("s", SHAPE, np.uint8, SHAPE),
    )
    lose(image)
    with create_image(image, template, **other, overwrite=True) as second:
        write(second)
        for write_again in (
            lambda: on_a_worker.write((slice(None),) * 3, wrong),
            lambda: scratch.write((slice(None),) * 3, wrong),
            lambda: results.save(second.volume.roi, a=wrong),
            lambda: output.journal.record("a"),
        ):
            with pytest.raises(OSError, match=MESSAGE):
                write_again()
    with pytest.raises(OSError, match=MESSAGE):
        write(output)
    with pytest.raises(OSError, match=MESSAGE):
        first.__exit__(None, None, None)
    shutil.rmtree(tmp_path / "moved", ignore_errors=True)
    check_whole(image)
    assert ngff.read_image_metadata(image).asem_metadata.made_by["request"] == {"a": 2}


def test_an_output_that_is_lost_at_the_end_is_not_finished(tmp_path, monkeypatch):
    """Writing the groups above may take long; the last check of the image follows."""
    image, write_groups = tmp_path / "cell.zarr/labels/mito", zarr_groups.write_groups_above

    def late(*words, **options):
        write_groups(*words, **options)
        shutil.rmtree(image)
        image.mkdir()

    monkeypatch.setattr(ngff, "write_groups_above", late)
    with pytest.raises(OSError, match=r"mito was deleted"), start(image) as output:
        write(output)
    assert list(image.iterdir()) == []


def test_a_journal_that_another_run_just_started_is_not_used(tmp_path, monkeypatch):
    """The folder is deleted, and another run starts, between the lock and the journal."""
    image, lock_destination, locks = tmp_path / "mito", output_lock.lock_destination, []

    def late(folder, check, may_delete):
        monkeypatch.setattr(output_image, "lock_destination", lock_destination)
        lock = lock_destination(folder, check, may_delete)
        shutil.rmtree(folder)
        (image / ".asem").mkdir(parents=True)
        locks.append(output_lock.lock_output(image))
        return lock

    monkeypatch.setattr(output_image, "lock_destination", late)
    with pytest.raises(OSError, match=r"mito was deleted"), start(image):
        pass
    with Journal(image, {"a": 2}, locks[0]) as other:
        other.record("a")
        assert other.path.read_text().count("request") == 1
