"""The words of code and documentation: what a reader of the field searches for (plain English).

Each entry is a word that hides what happens, and what is written instead. The test reads all of
`src`, `docs`, `examples`, `tests`, `benchmarks` and the pages beside README, except for this page;
where the field itself uses a word in another sense, the line is listed in `ALLOWED`.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WORDS = {
    # code is no person
    r"told|tells?|telling": "reports, calls the progress callback, logs",
    r"asks?|asked|asking": "calls, requests, runs on workers",
    r"knows|nobody|somebody|anybody|whoever": "stores, unlabelled, any user, the process that",
    r"wants?|wanted": "requested, needs, expected",
    r"judges?|judged|verdicts?": "object decision",
    r"guess(?:es|ed)?": "prediction, prior, estimate",
    r"forgets?|deserves?": "discards; is kept if",
    # metaphors
    r"desk|lonely|tires|stepper": "model, no worker, prior weight, optimizer",
    r"(?:go|goes|going|gone|went) on": "resumes, continues",
    r"under way|anew": "unfinished, again",
    r"lies|lay": "is, is located, exists",
    r"stands? (?:in|beside|for)": "is stored in, is next to, means",
    r"gives? way|takes? up|taken up|what becomes of": "is replaced, resumes, the result of",
    r"fault of asem": "internal error of asem",
    # one word for one idea
    r"unknown (?:voxels?|labels?)|label(?:s|led)? unknown": "unlabelled",
    r"running mean of the weights": "exponential moving average (EMA)",
}  # fmt: skip
FOLDERS = ("src", "docs", "examples", "tests", "benchmarks")
ALLOWED = (".tell()",)
"""In lines that may have such a word: the method of files."""


def pages() -> list[Path]:
    texts = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile", "pyproject.toml")]
    kinds = (".py", ".md", ".toml", ".yaml", ".html")
    found = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")))
    return texts + [path for path in found if path.suffix in kinds and path != Path(__file__)]


def odd_words(text: str) -> list[str]:
    """Return ``line number: word -> what to write`` for each odd word of a text."""
    return [
        f"{number}: {match[0]} -> {instead}"
        for number, line in enumerate(text.splitlines(), 1)
        if not any(allowed in line for allowed in ALLOWED)
        for word, instead in WORDS.items()
        for match in re.finditer(rf"\b(?:{word})\b", line, flags=re.IGNORECASE)
    ]


@pytest.mark.parametrize("folder", ["", *FOLDERS])
def test_odd_words_do_not_come_back(folder):
    chosen = [
        path
        for path in pages()
        if path.relative_to(ROOT).parts[0] == folder or (not folder and path.parent == ROOT)
    ]
    assert chosen
    found = [
        f"{path.relative_to(ROOT)}:{odd}" for path in chosen for odd in odd_words(path.read_text())
    ]
    assert found == []


def test_an_odd_word_would_be_found():
    assert odd_words("Progress.\nWho is told of it.") == [
        "2: told -> reports, calls the progress callback, logs"
    ]
    assert odd_words("the same command Goes On")
    assert odd_words("a toldbooth, multitasking and asking_price") == []


SPELLINGS = r"\b(?:Roi|Toml|toml|Tiff|tiff|OME-ZARR|ome-zarr(?!-0)|Ome-Zarr|OME Zarr)\b"
"""Not as ROI, TOML, TIFF and OME-Zarr; names of files and modules have a dot or slash before."""


def messages_of(source: str) -> list[str]:
    """Return the strings of a module that have several words, without docstrings."""
    tree = ast.parse(source)
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = (n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in alone)
    return [n.value for n in strings if isinstance(n.value, str) and " " in n.value]


def test_abbreviations_are_spelled_in_one_way():
    paths = list((ROOT / "src").rglob("*.py"))
    found = {
        f"{path.name}: {text}"
        for path in paths
        for text in messages_of(path.read_text())
        if re.search(rf"(?<![./*]){SPELLINGS}", text)
    }
    assert found == set()


def test_another_spelling_would_be_found():
    (text,) = messages_of('"""Of a Roi."""\nraise ValueError(f"{x} is no Roi; write")')
    assert re.search(SPELLINGS, text)
