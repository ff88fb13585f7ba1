"""The page of a review: its images, its decisions, and the functions of its script.

The functions run in the JavaScript engine of Qt, in a process of its own.
"""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

import asem.report
from asem.measure.review_decisions import (
    DECISION_COLUMNS,
    MATCH_NM,
    Decision,
    Review,
    match_decisions,
    parse_decisions,
)
from asem.report.review_page import (
    ReviewObject,
    ReviewPage,
    ReviewPicture,
    format_review_page,
    outline_mask,
)

TEMPLATES = Path(asem.report.__file__).parent / "templates"
HEAD = ",".join(DECISION_COLUMNS)
HOSTILE = "</script><script>alert(1)</script>"
ENGINE = """
import sys
from PySide6.QtCore import QCoreApplication
from PySide6.QtQml import QJSEngine
application = QCoreApplication([])
engine = QJSEngine()
result = engine.evaluate(sys.stdin.read())
if result.isError():
    sys.exit(result.toString())
print(result.toString())
"""


def run_script(expression):
    """Return the value of an expression that uses the functions of the page."""
    script = (TEMPLATES / "review_decisions.js").read_text()
    source = f"(() => {{{script}\nreturn JSON.stringify({expression}); }})()"
    done = subprocess.run(
        [sys.executable, "-c", ENGINE],
        input=source, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def make_page(objects, review, **changes):
    texts = {"title": "Review", "summary": "a & b", "size_name": "Width, nm"}
    texts |= {"measured": "the rim", "command": "asem pores", "file_name": "review.csv"}
    return format_review_page(ReviewPage(**texts | changes), objects, review).decode()


def data_of(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return json.loads(text)


def test_the_page_holds_images_outlines_and_decisions(rng):
    image = rng.integers(100, 140, (41, 31)).astype(np.uint8)
    mask = np.zeros(image.shape, bool)
    mask[10:21, 5:16] = True
    line, dot = np.array([[0.0, 1], [2, 3]]), np.array([[4.0, 5]])
    picture = ReviewPicture("xz", image, (8.0, 4.0), outline_mask(mask), [line, dot])
    objects = [
        ReviewObject(2**60 + 1, (1.0, 2, 3), 80.5, ["width 80.5 nm"], ["cut"], [], [picture]),
        ReviewObject(7, (4.0, 5, 6), np.nan, ["not measured"]),
    ]
    decisions = {1: Decision(7, "reject", (4.0, 5, 6), HOSTILE)}
    review = Review(decisions, [Decision(9, "accept", (99.0, 0, 0), "gone")])
    page = make_page(objects, review, words={"cut": "at the border"}, overridable=["cut"])
    data = data_of(page)
    first, second = data["objects"]
    assert (first["id"], first["p"], first["size"]) == (str(2**60 + 1), [1, 2, 3], 80.5)
    assert (second["size"], second["pictures"]) == (None, [])
    shown = first["pictures"][0]
    assert (shown["rows"], shown["columns"], shown["pixel"]) == (41, 31, [8, 4])
    decoded = imagecodecs.jpeg8_decode(base64.b64decode(shown["image"].partition(",")[2]))
    assert np.abs(decoded.astype(int) - image).mean() < 8  # of 40 grey values of noise
    numbers = np.array(re.findall(r"([\d.]+) ([\d.]+)", shown["mask"]), float)
    assert numbers.min(axis=0).tolist() == [5, 10]  # x, y: the left upper corner of the mask
    assert numbers.max(axis=0).tolist() == [16, 21]
    assert (shown["measured"], shown["dots"]) == ("M1.5 0.5L3.5 2.5", "M5.5 4.5h0")
    assert data["decisions"] == [[1, "reject", HOSTILE]]
    assert data["unmatched"][0]["comment"] == "gone"
    assert page.count("</script>") == 2
    assert "at the border" in page
    assert "a &amp; b" in page


def test_the_page_loads_nothing_else():
    page = make_page([], Review({}))
    assert "default-src 'none'; img-src data:;" in page
    places = re.findall(r"https?://[^\s\"'<]+", page)
    assert set(places) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert not re.search(r"<(?:link|iframe|object|embed|script src|img)", page)


def test_a_page_is_that_of_its_objects_and_decisions():
    def keys(position, decision):
        objects = [ReviewObject(7, position, 5.0, [])]
        data = data_of(make_page(objects, Review({0: Decision(7, decision, position)})))
        return data["key"], data["base"]

    key, base = keys((1.0, 2, 3), "accept")
    assert keys((1.0, 2, 3), "accept") == (key, base)
    assert keys((1.0, 2, 3), "reject")[0] == key
    assert keys((1.0, 2, 3), "reject")[1] != base
    assert keys((1.0, 2, 4), "accept")[0] != key


def test_a_person_decides_by_keyboard_in_a_browser(browser, tmp_path, rng):
    grey = rng.integers(0, 256, (32, 32), dtype=np.uint8)
    picture = ReviewPicture("xy", grey, (4.0, 4.0), outline_mask(grey > 99), [])
    objects = [
        ReviewObject(number, (1.0 * number, 2, 3), 90.0, [HOSTILE], [], [], [picture])
        for number in (7, 8, 9)
    ]
    page = tmp_path / "review.html"
    page.write_text(make_page(objects, Review({})))
    browser.save_downloads(tmp_path)
    browser.open(page.as_uri())
    for key in "arr":  # each decision moves to the next object
        browser.press(key)
    browser.evaluate("document.getElementById('save').click()")
    saved = tmp_path / "review.csv"
    for _ in range(3000):
        if saved.exists():
            break
        browser.evaluate("new Promise((then) => setTimeout(then, 20))")
    decisions = parse_decisions(saved.read_bytes(), saved.name)
    assert [(one.object_id, one.decision) for one in decisions] == [
        (7, "accept"), (8, "reject"), (9, "reject"),
    ]  # fmt: skip
    assert browser.find_faults() == []
    assert browser.capture().std() > 5


def test_saved_decisions_are_read_again():
    rows = [
        {"id": "18446744073709551615", "decision": "accept", "p": [1.25, -2, 3], "comment": ""},
        {"id": "7", "decision": "", "p": [0, 0, 0], "comment": 'a "b",\nc; µ\r'},
    ]
    text, again, expected = run_script(
        f"[formatDecisions({json.dumps(rows)}), parseDecisions(formatDecisions("
        f"{json.dumps(rows)})), [COLUMNS, MATCH_NM]]"
    )
    assert again == rows
    assert expected == [list(DECISION_COLUMNS), MATCH_NM]
    assert parse_decisions(text.encode(), "f") == [
        Decision(int(row["id"]), row["decision"], tuple(row["p"]), row["comment"]) for row in rows
    ]


def test_the_script_reads_files_as_the_next_run_does():
    valid = "\ufeffcomment,object_id,z_nm,y_nm,x_nm,decision\r\n"
    valid += '"a ""thin"", pale\r\none µ",0012,1e3,-2.5,3,Accept \r\n\r\n,13,4,5,6,\r\n,,,,,\r\n'
    invalid = {
        "": "empty",
        HEAD.replace(",", ";"): "save it as CSV with commas",
        "id,decision,z_nm,y_nm,x_nm": "no column object_id",
        f"{HEAD},who": "a column who",
        f'{HEAD}\n1,accept,1,2,3,"a': "damaged",
        f"{HEAD}\n1,accept,1,2": "row 2: the row may be cut off",
        f"{HEAD}\n1,maybe,1,2,3,": "row 2: the decision maybe",
        f"{HEAD}\n1.2E+05,accept,1,2,3,": "no id",
        f"{HEAD}\n1,accept,,2,3,": "no number",
        f'{HEAD}\n1,accept,"1,5",2,3,': "no number",
    }
    found, messages = run_script(
        f"[parseDecisions({json.dumps(valid)}), {json.dumps(list(invalid))}.map((text) => "
        "{ try { parseDecisions(text); return ''; } catch (error) { return error.message; } })]"
    )
    assert [
        Decision(int(one["id"]), one["decision"], tuple(map(float, one["p"])), one["comment"])
        for one in found
    ] == parse_decisions(valid.encode(), "f")
    for (text, message), got in zip(invalid.items(), messages, strict=True):
        assert message in got, text
        with pytest.raises(ValueError, match="f"):
            parse_decisions(text.encode(), "f")


def test_the_script_matches_as_the_next_run_does(rng):
    places = rng.uniform(0, 400, (60, 3))
    ids = rng.permutation(60)
    old = places[:50] + rng.normal(0, 15, (50, 3))
    numbers = np.where(rng.random(50) < 0.5, ids[:50], rng.permutation(60)[:50])
    decisions = [Decision(int(n), "accept", tuple(p)) for n, p in zip(numbers, old, strict=True)]
    expected = match_decisions(decisions, ids.astype(np.uint64), places).tolist()
    objects = [{"id": str(n), "p": p} for n, p in zip(ids, places.tolist(), strict=True)]
    given = [{"id": str(n), "p": p} for n, p in zip(numbers, old.tolist(), strict=True)]
    assert run_script(f"matchDecisions({json.dumps(given)}, {json.dumps(objects)})") == expected
    assert len(set(expected)) > 20
