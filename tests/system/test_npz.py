"""Files of arrays that others may have made: what is read, and what is refused before it is."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from asem.system.npz import ArraySpec, read_npz

FORMS = {
    "a": ArraySpec("uint8", (2, None)),
    "t": ArraySpec("U"),
    "n": ArraySpec("i"),
}


def npy(array, *, version=(1, 0)):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version=version, allow_pickle=True)
    return file.getvalue()


def write(path, *, compression=zipfile.ZIP_DEFLATED, **entries):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in {"a": npy(A), "t": npy("text"), "n": npy(3), **entries}.items():
            archive.writestr(f"{name}.npy", data)
    return path


A = np.arange(6, dtype=np.uint8).reshape(2, 3)


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trap",)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read(tmp_path, save):
    save(tmp_path / "f.npz", a=A, t="text", n=3, other=np.ones(3))
    found = read_npz(tmp_path / "f.npz", FORMS)
    assert set(found) == {"a", "t", "n"}
    assert (found["a"] == A).all()
    assert found["a"].flags.writeable
    assert str(found["t"]) == "text"
    save(tmp_path / "f.npz", a=np.asfortranarray(A), t="", n=np.int32(5))
    found = read_npz(tmp_path / "f.npz", FORMS)
    assert (found["a"] == A).all()
    assert found["n"] == 5


def header(text):
    text = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


ENTRIES = {
    "dtype": npy(A.astype(np.uint16)),
    "shape": npy(A.T),
    "axes": npy(A[None]),
    "object": npy(np.array([[Trap()], [Trap()]], object)),
    "pickle": pickle.dumps(Trap()),
    "empty": b"",
    "magic": b"\x93NUMP",
    "version": b"\x93NUMPY\x09\x00" + npy(A)[8:],
    "short": npy(A)[:-1],
    "long": npy(A) + b"\0",
    "huge": header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 10000000000000)}"),
    "overflow": header(
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 9223372036854775808)}"
    ),
    "negative": header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, -3)}") + b"\0" * 6,
    "bool": header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, True)}") + b"\0" * 2,
    "nested": header("{'descr': '|u1', 'fortran_order': False, 'shape': " + "(" * 3000),
    "minus": header("-" * 9000 + "1"),
    "keys": header("{1: 2, 'a': 3}"),
    "descr": header("{'descr': ['|u1', 5], 'fortran_order': False, 'shape': (2, 3)}"),
    "letters": header("{'descr': '|u1', 'fortran_order': False, 'shape': ('2', 3)}"),
}


@pytest.mark.parametrize("what", ENTRIES)
def test_entries_of_another_form_are_refused(tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "f.npz", a=ENTRIES[what])
    with pytest.raises(ValueError, match="is damaged: ") as caught:
        read_npz(path, FORMS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "trap").exists()


def flipped(path):
    data = bytearray(path.read_bytes())
    data[data.index(b"NUMPY") + 125] ^= 1
    path.write_bytes(data)


def encrypted(path):
    data = bytearray(path.read_bytes())
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(sign) + place] |= 1
    path.write_bytes(data)


def method(path):
    data = bytearray(path.read_bytes())
    for sign, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(sign) + place] = 99
    path.write_bytes(data)


def other(path):
    path.write_bytes(npy(A))


HARMS = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:100]),
    "noise": lambda path: path.write_bytes(np.random.default_rng(0).bytes(999)),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Trap())),
    "flipped": flipped,
    "encrypted": encrypted,
    "method": method,
    "npy": other,
    "lacking": lambda path: zipfile.ZipFile(path, "w").close(),
}


@pytest.mark.parametrize("harm", HARMS)
def test_files_that_are_no_such_archive_are_refused(tmp_path, monkeypatch, harm):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "f.npz", compression=zipfile.ZIP_STORED)
    HARMS[harm](path)
    with pytest.raises(ValueError, match="is damaged: ") as caught:
        read_npz(path, FORMS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "trap").exists()


def test_a_small_file_takes_no_large_memory(tmp_path, monkeypatch):
    """An entry that unpacks to 300 MB, and one that states more than it can unpack to."""
    size = 300_000_000
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': (2, {size // 2})}}"
    path = write(tmp_path / "f.npz", a=header(text) + bytes(size))
    assert path.stat().st_size < 400_000
    with pytest.raises(ValueError, match=r"a.npy is uint8 of shape \(2, 150000000\), not"):
        read_npz(path, {"a": ArraySpec("uint8", (2, None), max_size=10**6)})
    data = bytearray(write(path).read_bytes())
    data[data.index(b"PK\x01\x02") + 24 :][:4] = b""
    place = data.index(b"PK\x01\x02") + 24
    data[place : place + 4] = struct.pack("<I", 2**31)
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"states 2147483648 bytes"):
        read_npz(path, FORMS)


@pytest.mark.parametrize("what", ["pipe", "folder", "nothing"])
def test_what_is_no_regular_file(tmp_path, what):
    path = tmp_path / "thing.npz"
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    with pytest.raises(OSError, match=r"thing\.npz"):
        read_npz(path, FORMS)
