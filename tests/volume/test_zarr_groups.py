"""Groups above an image: their metadata, and the list of label images."""

import json
import subprocess
import sys

import pytest

from asem.volume.zarr_groups import write_groups_above

LISTING = """
import sys
from pathlib import Path
from asem.volume.zarr_groups import write_groups_above

for number in range(int(sys.argv[2])):
    meeting = Path(f"meeting/{number}")
    meeting.mkdir(parents=True, exist_ok=True)
    (meeting / sys.argv[1]).touch()
    while len(list(meeting.iterdir())) < 4:
        pass
    try:
        write_groups_above(Path(f"round{number}.zarr/labels/{sys.argv[1]}"), labels=True)
    except Exception as error:
        print(repr(error), file=sys.stderr)
"""


def test_labels_that_are_made_at_once_are_all_listed(tmp_path):
    names, rounds = ("a", "b", "c", "d"), 40
    words = [[sys.executable, "-c", LISTING, name, str(rounds)] for name in names]
    listing = [subprocess.Popen(each, cwd=tmp_path, stderr=subprocess.PIPE) for each in words]
    faults = [process.communicate()[1].decode() for process in listing]
    assert faults == [""] * 4
    for number in range(rounds):
        group = tmp_path / f"round{number}.zarr/labels"
        assert json.loads((group / "zarr.json").read_text())["attributes"]["ome"] == {
            "version": "0.5",
            "labels": list(names),
        }
        assert [path.name for path in group.iterdir()] == ["zarr.json"]


def test_what_another_program_wrote_in_a_group_stays(tmp_path):
    group = tmp_path / "cell.zarr/labels"
    group.mkdir(parents=True)
    theirs = {"ome": {"version": "0.5", "labels": ["nuclei"], "more": 1}, "viewer": {"a": [2]}}
    document = {"zarr_format": 3, "node_type": "group", "attributes": theirs, "extra": {"b": 3}}
    (group / "zarr.json").write_text(json.dumps(document))
    above = {**document, "attributes": {"theirs": True}}
    (tmp_path / "cell.zarr/zarr.json").write_text(json.dumps(above))
    write_groups_above(group / "mito", labels=True)
    theirs["ome"]["labels"] = ["mito", "nuclei"]
    assert json.loads((group / "zarr.json").read_text()) == document
    assert json.loads((tmp_path / "cell.zarr/zarr.json").read_text()) == above
    theirs["ome"]["labels"] = "mito"
    (group / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=r"labels/zarr\.json is no Zarr metadata: labels must be"):
        write_groups_above(group / "er", labels=True)
