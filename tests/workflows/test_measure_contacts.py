"""`asem measure --within`: the contacts of the whole volume, whatever the blocks and workers."""

import json

import numpy as np
import pytest
import tifffile

from asem.cli import main
from asem.measure.contacts import (
    CONTACT_KEYS,
    CONTACT_REDUCTIONS,
    ContactSearch,
    derive_contacts,
)
from asem.measure.object_columns import merge_columns
from asem.measure.object_table import CONTACT_COLUMNS
from asem.tables import read_table
from asem.volume.sources import open_labels
from asem.workflows.importing import import_volume
from asem.workflows.measure import measure_instances
from shards import small_shards

SIZE = (5.24, 4.0, 4.0)
SHAPE = (24, 37, 45)
BIG, OTHER = 2**40 + 7, 2**33 + 1


def save(path, voxels, *, voxel_size=SIZE, offset=(0, 0, 0), kind="labels"):
    tifffile.imwrite(path.with_suffix(".tif"), voxels, photometric="minisblack")
    position = tuple(o * s for o, s in zip(offset, SIZE, strict=True))
    import_volume(
        path.with_suffix(".tif"), path, voxel_size=voxel_size, offset_nm=position, kind=kind
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A beam, a ball and a far voxel as instances; a sheet, of a part that starts elsewhere.

    ::

        y   beam, 20 to 24    ball, 26 to 32, 2 voxels behind it       a voxel at y = 2
            sheet, 14 to 17: 3 voxels before the beam
    """
    small_shards(16, monkeypatch.setattr)
    labels = np.zeros(SHAPE, np.uint64)
    labels[8:14, 20:24] = BIG
    z, y, x = np.ogrid[:24, :37, :45]
    labels[(z - 11) ** 2 + (y - 29) ** 2 + (x - 20) ** 2 <= 9] = 3
    labels[20, 2, 40] = 4
    labels[:2] = np.iinfo(np.uint64).max
    save(tmp_path / "instances", labels)
    sheet = np.zeros((20, 20, 50), np.uint64)
    sheet[:, 4:7], sheet[:, :1] = OTHER, np.iinfo(np.uint64).max
    save(tmp_path / "er", sheet, offset=(2, 10, -3))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def measured(out, **options):
    measure_instances("instances", out, **options)
    return read_table(out / "objects").set_index("object_id"), read_table(out / "contacts")


def test_contacts_of_one_image(folder):
    objects, contacts = measured(folder / "out", within_nm=12)
    assert list(contacts.columns) == list(CONTACT_COLUMNS)
    pairs = contacts.set_index(["object_id", "other_id"])
    assert pairs.index.tolist() == [(3, BIG), (BIG, 3)]
    assert pairs["gap_nm"].tolist() == pytest.approx([2 * 4.0] * 2)
    assert pairs["area_um2"][BIG, 3] < 0.1 * objects["surface_um2"][BIG]
    assert objects["distance_nm"].tolist() == pytest.approx([8, np.nan, 8], nan_ok=True)


def test_contacts_with_other_labels(folder):
    objects, contacts = measured(folder / "out", other="er", within_nm=20)
    pairs = contacts.set_index(["object_id", "other_id"])
    assert pairs.index.tolist() == [(BIG, OTHER)]
    assert pairs["gap_nm"].tolist() == pytest.approx([3 * 4.0])
    # the side of the beam, and parts of the sides beside it
    assert 1 < pairs["area_um2"].item() / (6 * 5.24 * 45 * 4.0 / 1e6) < 1.6
    assert objects["distance_nm"].tolist() == pytest.approx([np.nan, np.nan, 12], nan_ok=True)


def test_the_tables_are_those_of_the_whole_volume(folder):
    _, contacts = measured(folder / "out", other="er", within_nm=60)
    labels = open_labels("instances")
    search = ContactSearch(labels, open_labels("er"), 60)
    whole = merge_columns([search.measure(labels.roi)], CONTACT_REDUCTIONS, CONTACT_KEYS)
    expected = derive_contacts(whole, SIZE)
    assert len(contacts) == 3
    assert contacts.to_dict("list") == {name: v.tolist() for name, v in expected.items()}


def test_the_instances_as_other_labels_are_the_same_as_none(folder):
    measured(folder / "out", within_nm=12)
    measured(folder / "same", other="instances", within_nm=12)
    assert (folder / "out/contacts.csv").read_text() == (folder / "same/contacts.csv").read_text()


def test_without_a_distance_there_are_no_contacts(folder):
    measure_instances("instances", folder / "out")
    assert "distance_nm" not in read_table(folder / "out/objects")
    assert not (folder / "out/contacts.csv").exists()


def test_a_table_without_rows(folder):
    objects, contacts = measured(folder / "out", within_nm=0)
    assert len(contacts) == 0
    assert objects["distance_nm"].isna().all()
    assert (folder / "out/contacts.csv").read_text() == ",".join(CONTACT_COLUMNS) + "\n"


def test_the_command(folder, capsys):
    words = ["measure", "instances", "--out", "out", "--other", "er", "--within", "20"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"contacts": 1, "objects": 3, "out": "out"}
    document = json.loads((folder / "out/provenance.json").read_text())
    assert document["columns"]["contacts"] == dict(CONTACT_COLUMNS)
    assert document["request"]["within_nm"] == 20
    assert document["facts"] == {"objects": 3, "contacts": 1}
    assert main([*words, "--overwrite"]) == 0


def refused(capsys, *words):
    assert main(["measure", "instances", "--out", "out", *words]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_messages_of_invalid_input(folder, capsys):
    assert "--other needs a search distance: give --within" in refused(capsys, "--other", "er")
    for wrong in ("-1", "inf", "nan", "1e6"):
        line = refused(capsys, "--within", wrong)
        assert "give a search distance in nm, from 0 (objects that touch)" in line
    save(folder / "raw", np.zeros((4, 5, 6), np.uint8), kind="image")
    assert "is an image" in refused(capsys, "--other", "raw", "--within", "9")
    save(folder / "coarse", np.ones((4, 5, 6), np.uint8), voxel_size=(8.0,) * 3)
    line = refused(capsys, "--other", "coarse", "--within", "9")
    assert "coarse has voxels of 8 x 8 x 8 nm" in line
    save(folder / "far", np.ones((4, 5, 6), np.uint8), offset=(0, 0, 90))
    assert "no voxel in common" in refused(capsys, "--other", "far", "--within", "9")
    line = refused(capsys, "--within", "9e5")
    assert "take a smaller search distance (--within)" in line
    assert not (folder / "out").exists()
