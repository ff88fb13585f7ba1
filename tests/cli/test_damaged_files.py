"""Every file that asem reads, damaged in every way: one line that names it and exit code 2."""

import os
import shutil
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
import tifffile

import funlib
from asem.annotate.window_files import PriorPrediction
from asem.cli import main
from asem.cli.streams import CONTROL_CHARACTERS
from asem.volume import ngff
from asem.volume.roi import Roi
from asem.volume.zarr_arrays import open_array
from asem.workflows.annotation import open_session, save_labels
from asem.workflows.importing import import_volume

WINDOW = Roi((0, 0, 0), (12, 16, 20))
SETTINGS = {
    "mask.toml": "above = 50\nbelow = 200\n",
    "cut.toml": 'energy = "membranes"\n[membranes]\nwalk_weight = 0.5\n',
    "structure.toml": 'name = "mito"\nsmallest_nm3 = 0\n',
    "jobs.toml": '[[input]]\nraw = "cell.zarr/raw"\n[[input.model]]\ncheckpoint = "run"\n'
    'out = "out"\ntile = 24\n',
    "batch.toml": 'system = "slurm"\njobs = 1\ncores = 1\nmemory = "1GB"\nwalltime = "00:10:00"\n',
}
LAST = "run/checkpoints/00000006"


@pytest.fixture(scope="module")
def inputs(cell, run, tmp_path_factory):
    """Everything that commands read, small; `unfinished` is an unfinished output."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copytree(cell, folder, dirs_exist_ok=True)
    for name, text in SETTINGS.items():
        (folder / name).write_text(text)
    text = (folder / "train.toml").read_text()
    (folder / "more.toml").write_text(text.replace("iterations = 6", "iterations = 7"))
    strokes = np.zeros((12, 16, 20), np.uint8)
    strokes[3, 3, 3:9], strokes[9, 9, 3:9] = 1, 2
    tifffile.imwrite(folder / "strokes.tif", strokes)
    import_volume(folder / "strokes.tif", folder / "strokes", voxel_size=(10.0,) * 3, kind="labels")
    funlib.save(folder / "published.pt", funlib.random_state())
    annotate(folder)
    before = Path.cwd()
    os.chdir(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ngff, "write_image_metadata", fail)
        assert main(["instances", "cell.zarr/labels/mito", "unfinished", "--sizes", "s.csv"]) == 2
    assert main(["graphcut", "cell.zarr/raw", "strokes", "cut"]) == 0
    os.chdir(before)
    shutil.rmtree(folder / "cut")
    return folder


def fail(*_):
    raise OSError("the disk is full")


def annotate(folder):
    """Begin a session with a log, a finished window and a prediction."""
    with open_session(folder / "cell.zarr/raw")[1] as session:
        annotation = session.open_structure("mito")
        labels = np.zeros(WINDOW.shape, bool)
        labels[4:8] = True
        annotation.accept_window(WINDOW, labels, {"network": "n"})
        annotation.store_prediction(
            WINDOW, PriorPrediction(np.zeros(WINDOW.shape, np.uint8), {"network": "n"})
        )


def save_windows():
    """What "Save labels" of the plugin does."""
    volume, session = open_session(Path("cell.zarr/raw"))
    with session:
        save_labels(volume, session, "mito", Path("out"))


def read_stored_prediction():
    """What the plugin does when it shows a window."""
    with open_session(Path("cell.zarr/raw"))[1] as session:
        session.open_structure("mito").read_prediction(WINDOW)


PREDICT = "predict run cell.zarr/raw out --tile 24"
RESUME = "train more.toml --out run --resume"
INSTANCES = "instances cell.zarr/labels/mito unfinished --sizes s.csv"
SESSION = "cell.zarr/annotations"
READERS = {
    "cell.zarr/raw/zarr.json": "info cell.zarr/raw",
    "cell.zarr/raw/0/zarr.json": "mask cell.zarr/raw out",
    "cell.zarr/raw/0/c/0/0/0": "mask cell.zarr/raw out",
    "cell.zarr/labels/zarr.json": "labels cell.zarr/labels/mito cell.zarr/labels/er --structure er",
    "run/run.json": PREDICT,
    f"{LAST}/state.json": f"predict {LAST} cell.zarr/raw out --tile 24",
    f"{LAST}/model.safetensors": f"predict {LAST} cell.zarr/raw out --tile 24",
    f"{LAST}/optimizer.safetensors": RESUME,
    "unfinished/.asem/objects/0_0_0.npz": INSTANCES,
    "unfinished/.asem/journal.jsonl": INSTANCES,
    "unfinished/.asem/beside.json": INSTANCES,
    f"{SESSION}/.asem/session.json": read_stored_prediction,
    f"{SESSION}/mito/log.jsonl": read_stored_prediction,
    f"{SESSION}/mito/accepted/0-12_0-16_0-20.npz": save_windows,
    f"{SESSION}/mito/predictions/0-12_0-16_0-20.npz": read_stored_prediction,
    "region": "graphcut cell.zarr/raw strokes out",
    "strokes/zarr.json": "graphcut cell.zarr/raw strokes out",
    "train.toml": "train train.toml --out new",
    "structure.toml": "labels cell.zarr/labels/mito out --structure structure.toml",
    "mask.toml": "mask cell.zarr/raw out --config mask.toml",
    "cut.toml": "graphcut cell.zarr/raw strokes out --config cut.toml",
    "jobs.toml": "predict --inputs jobs.toml",
    "batch.toml": "mask cell.zarr/raw out --scheduler batch.toml",
    "published.pt": "models convert published.pt model --structure mito --voxel-size 5",
    "raw.tif": "import raw.tif out --voxel-size 10",
}
HARMLESS = {
    "region",  # it is prepared again
}
"""Files that are made again where they are damaged."""
FOUND_LATER = {"cell.zarr/raw/0/c/0/0/0"}
"""Read in mid-work or at its end: the output stays, to be resumed."""


def flipped(data):
    place = len(data) // 2
    return data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :]


DEEP = 1000
DAMAGES = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "flipped": flipped,
    "noise": lambda data: np.random.default_rng(0).bytes(max(500, len(data))),
    "zeros": lambda data: bytes(len(data)),
    "5": lambda data: b"5\n",
    "list": lambda data: b"[]\n",
    "null": lambda data: b"null\n",
    "text": lambda data: b'"a"\n',
    "empty table": lambda data: b"{}\n",
    "nested": lambda data: b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"\n",
    "unclosed": lambda data: b"[" * 100_000,
    "digits": lambda data: b'{"a": ' + b"9" * 5000 + b"}\n",
    "NaN": lambda data: b"NaN\n",
    "another kind": lambda data: b"PK\x05\x06" + bytes(18),
    "UTF-16": lambda data: '{"a": 1}\n'.encode("utf-16"),
}


def refused(command, name, capsys):
    """Whether a command ends with one line that names the file; False where all is well."""
    if not isinstance(command, str):
        fault = fault_of(command)
        assert fault is None or name in fault
        assert "\n" not in (fault or "")
        return fault is not None
    code = main(command.split())
    err = capsys.readouterr().err
    assert code in (0, 2), err
    lines = [line for line in err.splitlines() if line.startswith("asem: ")]
    assert "Traceback" not in err
    assert len(lines) == (code == 2)
    if code == 2:
        assert "internal error of asem" not in err
        assert name in lines[0] or (name == "unfinished" and "s.csv exists" in lines[0])
        assert len(lines[0]) < 1000
        assert not CONTROL_CHARACTERS.search(err)
    return code == 2


def fault_of(call):
    """Return the message of what the command line would turn into a line."""
    try:
        call()
    except (ValueError, OSError, RuntimeError) as error:  # of a link that leads to itself
        return str(error)
    return None


@pytest.fixture
def place(inputs, tmp_path, monkeypatch):
    """A copy of the inputs, in which the test works."""
    monkeypatch.chdir(tmp_path)
    copy(inputs, tmp_path)
    monkeypatch.setattr("asem.blocks.executors.RETRY_INTERVAL_S", 0)
    return tmp_path


def copy(inputs, place):
    """Make a place what `inputs` are."""
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(inputs, place, dirs_exist_ok=True)
    record = place / "unfinished/.asem/beside.json"  # holds a path
    record.write_text(record.read_text().replace(str(inputs), str(place)))


def file_of(name):
    if name != "region":
        return Path(name)
    (path,) = Path(SESSION, ".asem/regions").iterdir()
    return path


@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_is_one_line_that_names_it(inputs, place, capsys, name):
    path = file_of(name)
    whole, before = path.read_bytes(), sorted(place.rglob("*"))
    for harm in DAMAGES.values():
        path.write_bytes(harm(whole))
        if refused(READERS[name], named(path), capsys):
            assert name not in HARMLESS
            made = [path for path in sorted(place.rglob("*")) if path not in before]
            assert not made or name in FOUND_LATER
        if sorted(place.rglob("*")) != before:  # it was harmless, or found later
            copy(inputs, place)


def named(path):
    """What a message says of a file at least: its folder; of a shard, its array."""
    return str(path.parent).partition("/c/")[0].removesuffix("/.asem")


@contextmanager
def unblocked(path, patience=10.0):
    """Open a pipe that is waited for, again and again, after a time that no command needs."""
    waited, done = [], threading.Event()

    def open_it():
        while not done.wait(0.1 if waited else patience):
            waited.append(path)
            os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))

    opener = threading.Thread(target=open_it)
    opener.start()
    try:
        yield
    finally:
        done.set()
        opener.join()
    assert not waited, f"{path} was waited for"


@pytest.mark.parametrize("kind", ["folder", "nothing", "loop"])
@pytest.mark.parametrize("name", READERS)
def test_what_is_no_file_is_one_line(place, capsys, name, kind):
    path = file_of(name)
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    refused(READERS[name], "", capsys)


@pytest.mark.parametrize("name", READERS)
def test_no_pipe_is_waited_for(place, capsys, name):
    path = file_of(name)
    path.unlink()
    os.mkfifo(path)
    with unblocked(path):
        refused(READERS[name], "", capsys)


@pytest.mark.parametrize("encoding", ["v2", "default"])
def test_a_pipe_among_the_shards_of_another_program_is_refused(tmp_path, encoding):
    made = ts.open(
        {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{tmp_path}/a/"},
            "metadata": {
                "shape": [4, 4, 4],
                "data_type": "uint8",
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2, 2, 2]}},
                "chunk_key_encoding": {"name": encoding, "configuration": {"separator": "."}},
            },
        },
        create=True,
    ).result()
    made[:] = 1
    array = open_array(tmp_path / "a")
    assert array[0:4, 0:4, 0:4].all()
    shard = tmp_path / ("a/1.0.1" if encoding == "v2" else "a/c.1.0.1")
    shard.unlink()
    assert not array[2:4, 0:2, 2:4].any()
    os.mkfifo(shard)
    with unblocked(shard), pytest.raises(ValueError, match=r"1\.0\.1"):
        _ = array[0:4, 0:4, 0:4]
