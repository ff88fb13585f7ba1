"""The report of the demo in a browser: numbers, keyboard, colours, phone, paper."""

import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest

from asem.report.page.numbers import NOTHING
from asem.tables import read_table

pytestmark = pytest.mark.slow
CELLS = """((caption) => {
  const table = [...document.querySelectorAll("table")].find(
    (one) => one.caption.textContent.startsWith(caption));
  const rows = [table.tHead.rows[0], ...table.tBodies[0].rows];
  return rows.map((row) => [...row.cells])
    .map((cells) => cells.map((cell) => cell.textContent.trim()));
})"""
HEAD = """(() => {
  const table = [...document.querySelectorAll("table.sorted")].find(
    (one) => one.caption.textContent.startsWith("Objects ("));
  return [...table.tHead.rows[0].cells].find((one) => one.textContent.startsWith("volume"));
})()"""
CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [x, y, z] = [r, g, b].map((v) => linear(v / 255));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
  };
  const worst = [];
  for (const node of document.querySelectorAll("body *")) {
    const shown = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    const isLeftOut = node.closest(".plane, script, style, .hidden, .skip");
    if (!shown || isLeftOut || !node.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) worst.push(`${node.tagName} ${node.className} ${ratio}`);
  }
  return worst;
})()"""


@pytest.fixture(scope="module")
def page(demo):
    return demo[0] / "report.html"


@pytest.fixture
def opened(browser, page):
    """The report in Chromium, in a window of a usual size."""
    browser.emulate(1280)
    browser.open(page.as_uri())
    yield browser
    browser.end_emulation()


def volumes(browser):
    _, *rows = browser.evaluate(f'{CELLS}("Objects (")')
    return [float(row[1]) for row in rows]


def test_no_request_leaves_the_page_and_no_error_is_logged(opened):
    assert opened.evaluate("document.querySelectorAll('img').length") > 10
    assert opened.evaluate("[...document.images].every((one) => one.naturalWidth > 0)")
    assert opened.find_faults() == []


def test_the_table_of_objects_has_the_measured_numbers(opened, demo):
    heads, *rows = opened.evaluate(f'{CELLS}("Objects (")')
    measured = read_table(demo[0] / "objects/objects")
    assert len(rows) == len(measured) > 5
    assert len(heads) == len(measured.columns)
    for number, column in enumerate(measured.columns):
        shown = [row[number] for row in rows]
        values = measured[column]
        if pd.api.types.is_bool_dtype(values):
            assert shown == ["yes" if value else "no" for value in values]
            continue
        numbers = [float("nan" if text == NOTHING else text.replace(",", "")) for text in shown]
        np.testing.assert_allclose(numbers, values.to_numpy(float), rtol=5.1e-4)


def test_the_scores_are_those_of_the_evaluation(opened, demo):
    _, outside, everywhere = opened.evaluate(f'{CELLS}("Scores of voxels")')
    scores = json.loads((demo[0] / "scores/scores.json").read_text())
    for row, region in ((outside, "exclusion_zone"), (everywhere, "all")):
        low, high = scores["intervals"][region]["f1"]
        assert row[1] == f"{scores[region]['f1']:.3f} [{low:.3f}, {high:.3f}]"
        assert row[3] == f"{scores[region]['precision']:.3f}"
        assert row[5] == f"{scores[region]['voxels']:,}"


def test_objects_are_sorted_by_click_and_by_the_enter_key(opened):
    unsorted = volumes(opened)
    opened.evaluate(f"{HEAD}.querySelector('button').click()")
    assert volumes(opened) == sorted(unsorted) != unsorted
    assert opened.evaluate(f"{HEAD}.getAttribute('aria-sort')") == "ascending"
    opened.evaluate(f"{HEAD}.querySelector('button').focus()")
    opened.press("Enter")
    assert volumes(opened) == sorted(unsorted, reverse=True)
    assert opened.evaluate(f"{HEAD}.getAttribute('aria-sort')") == "descending"
    assert "descending" in opened.evaluate("document.getElementById('status').textContent")
    ids = ["1,000", "9007199254740993", "9007199254740995", "18446744073709551614"]
    assert opened.evaluate(f"{ids[::-1]}.sort(compareNumbers)") == ids


def test_rows_are_filtered_by_their_text(opened):
    opened.evaluate(
        f"""(() => {{
          const input = {HEAD}.closest('.table').querySelector('input');
          input.value = 'YES'; input.dispatchEvent(new Event('input'));
        }})()"""
    )
    shown = f"[...{HEAD}.closest('table').tBodies[0].rows].filter((row) => !row.hidden)"
    texts = opened.evaluate(f"{shown}.map((row) => row.textContent)")
    assert 0 < len(texts) < len(volumes(opened))
    assert all("yes" in text for text in texts)


def test_without_scripts_the_page_has_all_content(page):
    html = page.read_text()
    before, _, _ = html.partition("<script>")
    assert "<button" not in before
    assert before.count("<table") >= 6
    assert "default-src 'none'" in before
    assert len(html) < 2_000_000


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_the_page_does_not_scroll_sideways(opened, width):
    opened.emulate(width)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_pictures_have_texts_with_numbers_and_headings_are_in_order(opened):
    texts = opened.evaluate("[...document.images].map((one) => one.alt)")
    assert all(re.search(r"\d", text) for text in texts)
    assert len(set(texts)) == len(texts)
    levels = opened.evaluate(
        "[...document.querySelectorAll('h1,h2,h3,h4')].map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    missing = (
        "[...document.querySelectorAll('a')].filter((one) => !document.querySelector(one.hash))"
    )
    assert opened.evaluate(f"{missing}.length") == 0
    assert opened.evaluate("document.querySelectorAll('main, nav, header').length") == 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(opened, scheme):
    opened.emulate(1280, scheme=scheme)
    assert opened.evaluate(CONTRAST) == []
    corner = opened.capture()[2, 2].astype(int)
    assert (corner > 200).all() if scheme == "light" else (corner < 60).all()


def test_outlines_of_labels_and_prediction_are_drawn_on_grey_values(opened):
    opened.evaluate("document.querySelector('.plane').scrollIntoView({behavior: 'instant'})")
    box = opened.evaluate(
        "(({x, y, width, height}) => [x, y, width, height].map(Math.round))"
        "(document.querySelector('.plane').getBoundingClientRect())"
    )
    x, y, width, height = box
    seen = opened.capture()[y : y + height, x : x + width].astype(int)
    assert seen.shape[1] > seen.shape[0]
    for colour in ((0, 165, 227), (255, 127, 42)):
        near = (np.abs(seen - colour) < 40).all(axis=2)
        assert near.sum() > 200
    grey = np.ptp(seen, axis=2) < 12
    assert 0.6 < grey.mean() < 0.99
    assert seen[grey].std() > 15


def test_it_prints_on_a4(opened):
    opened.emulate(680)
    opened.call("Emulation.setEmulatedMedia", media="print")
    hidden = "getComputedStyle(document.querySelector('nav')).display"
    assert opened.evaluate(hidden) == "none"
    wide = "[...document.querySelectorAll('table')].map((one) => one.getBoundingClientRect().right)"
    assert max(opened.evaluate(wide)) <= 680
