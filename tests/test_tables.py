"""Tables: both files have the same rows; descriptions and provenance travel with them."""

import json
import os

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from asem import tables
from asem.tables import find_unit, read_column_names, read_table, read_table_file, write_table

FRAME = pd.DataFrame(
    {
        "object_id": np.array([1, 2**40], np.uint64),
        "volume_um3": [0.1234567891, np.nan],
        "name, with a comma": ['quote " and\nnewline', "µ"],
        "touches_border": [True, False],
    }
)
DESCRIPTIONS = {name: f"what {name} is" for name in FRAME}


def test_csv_and_parquet_have_the_same_rows(tmp_path):
    write_table(tmp_path / "t", FRAME, DESCRIPTIONS, {})
    csv, parquet = pd.read_csv(tmp_path / "t.csv"), read_table(tmp_path / "t")
    pd.testing.assert_frame_equal(parquet, FRAME)
    pd.testing.assert_frame_equal(csv, FRAME, check_dtype=False, rtol=1e-6)
    assert csv["object_id"][1] == 2**40


def test_the_parquet_file_says_what_made_it_and_what_its_columns_are(tmp_path):
    write_table(tmp_path / "t", FRAME, DESCRIPTIONS, {"command": "measure"})
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert json.loads(schema.metadata[b"asem"]) == {"command": "measure"}
    metadata = schema.field("volume_um3").metadata
    assert metadata == {b"description": b"what volume_um3 is", b"unit": "µm³".encode()}


def test_a_file_in_either_format_is_read(tmp_path):
    frame = FRAME.assign(flags="", kind=["pit", ""], neck_nm=np.nan)
    write_table(tmp_path / "t", frame, dict.fromkeys(frame, ""), {})
    parquet, csv = (read_table_file(tmp_path / f"t.{suffix}") for suffix in ("parquet", "csv"))
    for suffix in ("parquet", "csv"):
        assert read_column_names(tmp_path / f"t.{suffix}") == list(frame.columns)
    pd.testing.assert_frame_equal(parquet, frame)
    pd.testing.assert_frame_equal(csv, frame, check_dtype=False, rtol=1e-6)


def test_files_that_are_no_tables(tmp_path, monkeypatch):
    write_table(tmp_path / "t", FRAME, DESCRIPTIONS, {})
    content = (tmp_path / "t.parquet").read_bytes()
    damaged = content[:4] + bytes(255 - one for one in content[4:200]) + content[200:]
    table = pq.read_table(tmp_path / "t.parquet")
    pq.write_table(table.replace_schema_metadata({b"pandas": b"{}"}), tmp_path / "c.parquet")
    files = {
        "c.parquet": (tmp_path / "c.parquet").read_bytes(),
        "a.parquet": content[:99],
        "b.parquet": damaged,
        "a.csv": b"",
        "b.csv": b'a\n"1,2\n',
    }
    for name, wrong in files.items():
        (tmp_path / name).write_bytes(wrong)
        with pytest.raises(ValueError, match=f"{name} is (damaged|no table)"):
            read_table_file(tmp_path / name)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(OSError, match="pipe"):
        read_table_file(tmp_path / "pipe.csv")
    monkeypatch.setattr(tables, "MAX_TABLE_BYTES", 10)
    with pytest.raises(ValueError, match="at most 10 are read"):
        read_table_file(tmp_path / "t.csv")


@pytest.mark.parametrize("change", [{"more": "x"}, None])
def test_every_column_needs_a_description(tmp_path, change):
    descriptions = DESCRIPTIONS | change if change else {"object_id": "the id"}
    with pytest.raises(ValueError, match="descriptions differ"):
        write_table(tmp_path / "t", FRAME, descriptions, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_no_link_is_followed(tmp_path, suffix):
    (tmp_path / f"t{suffix}").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match=r"symbolic link|regular file"):
        write_table(tmp_path / "t", FRAME, DESCRIPTIONS, {})
    assert not (tmp_path / "other").exists()


def test_a_damaged_table_is_named(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match=r"t\.parquet is damaged"):
        read_table(tmp_path / "t")


def test_units_are_the_longest_suffix():
    units = {"z_nm": "nm", "volume_nm3": "nm³", "surface_um2": "µm²", "branch_points": ""}
    assert {name: find_unit(name) for name in units} == units
