"""Tables of pits of several cells are combined; what is no table of pits is refused."""

import json

import pandas as pd
import pytest

from asem.measure.pits.statistics import describe_table
from asem.measure.pits.table import PIT_COLUMNS
from asem.tables import format_csv, read_table
from asem.workflows.combine_pits import PIT_TABLES, combine_pits
from pit_tables import make_table


@pytest.fixture
def cells(tmp_path, rng):
    """Tables of two cells by the names of their folders, which are written."""
    tables = {"a": make_table(rng, open=9, deep=8), "b": make_table(rng, caveola=5, vesicle=2)}
    tables["b"].loc[1, "flags"] = "cut"
    for name, table in tables.items():
        (tmp_path / name).mkdir()
        table.to_parquet(tmp_path / name / "pits.parquet")
    return tables


def test_pits_of_cells_are_combined(tmp_path, cells):
    folders = [tmp_path / name for name in cells]
    result = combine_pits(folders, tmp_path / "all")
    assert result == {"cells": 2, "pits": 24, "used": 23, "out": str(tmp_path / "all")}
    table = read_table(tmp_path / "all/pits")
    assert list(table.columns) == ["cell", *PIT_COLUMNS]
    for name, one in cells.items():
        own = table[table["cell"] == name].drop(columns="cell").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, one)
    statistics = json.loads((tmp_path / "all/statistics.json").read_text())
    assert statistics["cells"] == {name: describe_table(one) for name, one in cells.items()}
    assert statistics["pooled"]["groups"]["endocytic_coated_pits"]["n"]["used"] == 17
    written = {path.name for path in (tmp_path / "all").iterdir()}
    assert written == {*PIT_TABLES.files, "provenance.json"}
    with pytest.raises(FileExistsError, match="give --overwrite"):
        combine_pits(folders, tmp_path / "all")


def test_a_csv_file_that_a_person_changed_is_named(tmp_path, cells, caplog):
    for name, table in cells.items():
        (tmp_path / name / "pits.csv").write_bytes(format_csv(table))
    (tmp_path / "b/pits.csv").write_bytes(format_csv(cells["b"].iloc[1:]))
    with pytest.raises(FileNotFoundError, match="none"):
        combine_pits([tmp_path / "a", tmp_path / "b", tmp_path / "none"], tmp_path / "all")
    (line,) = caplog.messages
    assert "b/pits.csv differs from pits.parquet, which is used" in line


def test_folders_that_cannot_be_combined(tmp_path, cells):
    other = tmp_path / "other"
    other.mkdir()
    cells["a"].drop(columns="neck_nm").to_parquet(other / "pits.parquet")
    (tmp_path / "none").mkdir()
    one = tmp_path / "one"
    one.mkdir()
    cells["a"].assign(cell="a").to_parquet(one / "pits.parquet")
    messages = {
        other: "is no table of pits: its columns are not those of asem pits",
        tmp_path / "none": "none has no pits.parquet: name folders that asem pits wrote",
        one: "is combined already",
        tmp_path / "a": "two folders are named a",
    }
    for folder, message in messages.items():
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            combine_pits([tmp_path / "a", folder], tmp_path / "new")
        assert not (tmp_path / "new").exists()
    with pytest.raises(ValueError, match="name at least one folder that asem pits wrote"):
        combine_pits([], tmp_path / "new")
