"""Decisions of a review: their file, their objects, flags and notes."""

import math

import numpy as np
import pytest

from asem.measure.review_decisions import (
    MATCH_NM,
    MAX_DECISIONS_BYTES,
    Decision,
    Review,
    accept_objects,
    match_decisions,
    parse_decisions,
    read_decisions_file,
    reject_objects,
)

HEAD = "object_id,decision,z_nm,y_nm,x_nm,comment"


def test_a_file_from_a_spreadsheet_is_read():
    text = "\ufeffcomment,object_id,z_nm,y_nm,x_nm,decision\r\n"
    text += '"a ""thin"", pale\r\none µ",0012,1e3,-2.5,3,Accept \r\n\r\n,13,4,5,6,\r\n,,,,,\r\n'
    assert parse_decisions(text.encode(), "f") == [
        Decision(12, "accept", (1000.0, -2.5, 3.0), 'a "thin", pale\r\none µ'),
        Decision(13, "", (4.0, 5.0, 6.0), ""),
    ]
    assert parse_decisions(f"{HEAD}\n".encode(), "f") == []
    largest = f"{HEAD}\n{2**64 - 1},reject,1,2,3,\n"
    assert parse_decisions(largest.encode(), "f")[0].object_id == 2**64 - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "f is empty"),
        (b"\xff\xfe", r"f is no text in UTF-8 \(byte 0\)"),
        (b"x" * (MAX_DECISIONS_BYTES + 1), "f is larger than"),
        (HEAD.replace(",", ";"), "save it as CSV with commas"),
        ("id,decision,z_nm,y_nm,x_nm", "f has no column object_id"),
        (f"{HEAD},who", "f has a column 'who'"),
        (f"{HEAD},comment", "f has a column twice"),
        (f'{HEAD}\n1,accept,1,2,3,"a', "f is damaged"),
        (f"{HEAD}\n1,accept,1,2", "f, line 2: 4 values instead of 6; it may be cut off"),
        (f"{HEAD}\n1,maybe,1,2,3,", "f, line 2: the decision 'maybe'; write accept, reject"),
        (f"{HEAD}\n1.2E+05,accept,1,2,3,", r"line 2: the object_id '1.2E\+05' is no id"),
        (f"{HEAD}\n{2**64},accept,1,2,3,", "is no id"),
        (f"{HEAD}\n1,accept,1,nan,3,", "line 2: y_nm is 'nan'; it is a position in nm"),
        (f'{HEAD}\n1,accept,"1,5",2,3,', "line 2: z_nm is '1,5'"),
        (f"{HEAD}\n1,accept,1,2,3,\n1,reject,1,2,9,", "f has two rows of object 1; delete one"),
    ],
)
def test_messages_of_invalid_files(content, message):
    content = content.encode() if isinstance(content, str) else content
    with pytest.raises(ValueError, match=message):
        parse_decisions(content, "f")


def test_decisions_about_one_id_are_not_compared_pair_by_pair(monkeypatch):
    """A file of 64 MB with one id would take hours."""
    compared = []
    monkeypatch.setattr(math, "dist", lambda a, b, dist=math.dist: compared.append(a) or dist(a, b))
    rows = "".join(f"1,,{51 * (n // 40)},{51 * (n % 40)},0,\n" for n in range(1600))
    assert len(parse_decisions(f"{HEAD}\n{rows}".encode(), "f")) == 1600
    assert len(compared) < 10 * 1600
    with pytest.raises(ValueError, match="two rows of object 1"):
        parse_decisions(f"{HEAD}\n{rows}1,,-1,-49,0,\n".encode(), "f")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.csv is no file"):
        read_decisions_file(tmp_path / "no.csv")


def make(*rows):
    return [Decision(number, "accept", position) for number, position in rows]


def match(decisions, objects):
    ids = np.array([number for number, _ in objects], np.uint64)
    return match_decisions(decisions, ids, np.array([place for _, place in objects])).tolist()


def test_an_id_counts_only_at_its_position():
    objects = [(1, (0.0, 0, 0)), (2, (0, 0, 200)), (3, (0, 0, 400))]
    assert match(make((1, (0, 0, 30)), (2, (0, 0, 200))), objects) == [0, 1]
    renumbered = make((2, (0, 0, 0)), (3, (0, 0, 200)), (1, (0, 0, 410)))
    assert match(renumbered, objects) == [0, 1, 2]
    limit = MATCH_NM + 0.1
    assert match(make((1, (0, 0, -limit)), (3, (0, 400, 0))), objects) == [-1, -1]


def test_the_same_id_is_matched_before_a_nearer_object():
    objects = [(1, (0.0, 0, 0)), (2, (0, 0, 40))]
    assert match(make((2, (0, 0, 10))), objects) == [1]
    assert match(make((9, (0, 0, 10)), (2, (0, 0, 38))), objects) == [0, 1]


def test_no_object_has_two_decisions():
    objects = [(1, (0.0, 0, 0)), (5, (np.nan, 0, 0))]
    assert match(make((7, (0, 0, 20)), (8, (0, 0, 10))), objects) == [-1, 0]
    assert match([], objects) == []
    assert match(make((7, (0, 0, 20))), [(1, (np.nan, 0, 0))]) == [-1]


def test_decisions_set_flags_and_notes():
    decisions = [
        Decision(1, "reject", (0, 0, 0)),
        Decision(2, "accept", (0, 0, 100)),
        Decision(3, "", (0, 0, 200), "unclear"),
        Decision(9, "reject", (0, 0, 900)),
    ]
    positions = np.array([[0.0, 0, 0], [0, 0, 100], [0, 0, 200]])
    review = Review.of_objects(decisions, np.array([1, 2, 3], np.uint64), positions)
    flags, notes = [["cut"], ["short", "cut"], ["short"]], [["split"], ["split"], []]
    accept_objects(flags, notes, review, {"short"})
    reject_objects(flags, review)
    assert flags == [["cut", "rejected"], ["cut"], ["short"]]
    assert notes == [["split"], ["split", "accepted", "short"], []]
    assert list(review.unmatched) == [decisions[3]]
    assert review.is_decided("accept", 3).tolist() == [False, True, False]
    assert (review.count("accept"), review.count("reject")) == (1, 1)
