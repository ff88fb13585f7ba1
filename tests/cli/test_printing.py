"""Names with markup or control characters, JSON for every program, faults of asem itself."""

import json
import logging
import os
import re
import resource
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from rich.console import Console

from asem.cli import main, progress
from asem.cli.printing import format_result
from asem.cli.streams import CONTROL_CHARACTERS, escape_control_characters

SIZE = ["--voxel-size", "10"]
NAMES = {
    "markup": "cell[old].zarr",
    "closing": "[/red]x[/]",
    "style": "[red]x[/red]",
    "link": "[link=file:.]x",
    "split": "[/b]",
    "bracket": "[",
    "escape": "a\x1b[2J\x1b]0;x\x07b",
    "bell": "a\x07b",
    "return": "a\rb",
    "C1": "a\x9b2Jb",
    "bidi": "a\u202egpj.zarr",
    "isolate": "a\u2066b\u2069",
    "separator": "a\u2028b",
}


@pytest.fixture
def stack(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("s.tif", np.arange(216, dtype=np.uint8).reshape(6, 6, 6))
    return Path("s.tif")


def escaped(name):
    return escape_control_characters(name)


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_printed_as_they_are_or_as_escapes(stack, capsys, kind):
    name = NAMES[kind]
    place = Path("[" if kind == "split" else "d") / name.replace("/", "\u2044")
    printed = escaped(str(place))
    assert main(["import", str(stack), str(place), *SIZE]) == 0
    assert main(["clahe", str(place), f"{place}_c", "--kernel", "8"]) == 0
    out, err = capsys.readouterr()
    assert f"{printed}_c" in out
    assert not CONTROL_CHARACTERS.search(out + err)
    assert main(["info", str(place)]) == 0
    assert not CONTROL_CHARACTERS.search(capsys.readouterr().out)
    assert main(["clahe", str(place), f"{place}_c", "--kernel", "8"]) == 2
    out, err = capsys.readouterr()
    assert f"{printed}_c exists already" in err
    assert len(err.splitlines()) == 1
    assert not CONTROL_CHARACTERS.search(out + err)
    assert main(["clahe", str(place), f"{place}_d", "--kernel", "8", "--json"]) == 0
    out = capsys.readouterr().out
    assert not CONTROL_CHARACTERS.search(out)
    assert json.loads(out)["clahe"] == f"{place}_d"


def test_words_that_are_no_option_are_escaped(capsys):
    for words in (["in\x1bfo"], ["info", "a", "--c\x1b\u202eolour"], ["info", "no\x1bwhere[/]"]):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert r"\x1b" in err
        assert len(err.splitlines()) == 1
        assert not CONTROL_CHARACTERS.search(err)


def test_messages_of_the_log_are_escaped(capsys):
    main(["info", "nowhere"])
    logging.getLogger("asem.some").warning("%s is odd", "a\x1b[2J[/red]\u202e")
    err = capsys.readouterr().err
    assert r"a\x1b[2J[/red]\u202e is odd" in err


def test_messages_of_the_log_are_printed_once(monkeypatch, capsys):
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.getLogger("asem"), "propagate", True)
    main(["info", "nowhere"])
    logging.basicConfig()  # as neuroglancer does when it is imported
    logging.getLogger("asem.some").warning("it is odd")
    assert capsys.readouterr().err.count("it is odd") == 1


def test_stages_are_no_markup(monkeypatch, capsys):
    made = []

    def terminal(**options):
        made.append(Console(force_terminal=True, width=120, **options))
        return made[-1]

    monkeypatch.setattr(progress, "Console", terminal)
    with progress.show_progress() as report:
        report("[/b] \x1b]0;x\x07 [red]", 1, 2)
        report("[/b] \x1b]0;x\x07 [red]", 2, 2)
    err = capsys.readouterr().err
    assert r"[/b] \x1b]0;x\x07 [red]" in err
    assert "\x1b]0" not in err


def test_lone_surrogates_and_what_has_no_glyph():
    given = "\udce9\ufeff\u200b\U000e0041\x7f\x00\tµ ±\n"
    assert escape_control_characters(given) == "\\udce9\\ufeff\\u200b\\U000e0041\\x7f\\x00\tµ ±\n"


def test_values_of_metadata_are_escaped(stack, capsys):
    assert main(["import", str(stack), "raw", *SIZE]) == 0
    path = Path("raw/zarr.json")
    document = json.loads(path.read_text())
    document["attributes"]["asem"]["made_by"]["command"] = "[/red]\x1b[2J\u202e"
    document["attributes"]["asem"]["made_by"]["facts"] = {"voxels": "[/red]\x1b[2J\u202e"}
    path.write_text(json.dumps(document))
    capsys.readouterr()
    assert main(["info", "raw"]) == 0
    out = capsys.readouterr().out
    assert "[/red]" in out
    assert not CONTROL_CHARACTERS.search(out)


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_json_is_valid_whatever_the_metadata_hold(stack, capsys, number):
    assert main(["import", str(stack), "raw", *SIZE]) == 0
    path = Path("raw/zarr.json")
    document = json.loads(path.read_text())
    document["attributes"]["asem"]["made_by"]["facts"] = {"a": ["@", {"b": "@"}]}
    path.write_text(json.dumps(document).replace('"@"', number))
    capsys.readouterr()
    assert main(["info", "raw", "--json"]) == 0

    def refuse(text):
        raise ValueError(text)

    found = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert found["made_by"]["facts"] == {"a": [None, {"b": None}]}
    assert main(["info", "raw"]) == 0


def fail_with(monkeypatch, error):
    def describe(*_):
        raise error

    monkeypatch.setattr("asem.workflows.describe.describe_volume", describe)


def test_a_fault_of_asem_is_one_line_and_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fail_with(monkeypatch, KeyError("a\x1b\nb"))
    assert main(["info", "some[/]where\x1b"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("asem: KeyError: ")
    assert "this is an internal error of asem, please report it" in line
    (report,) = tmp_path.iterdir()
    assert str(report) in line
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    text = report.read_text()
    assert "describe" in text
    assert re.search(r"numpy +\d", text)
    assert r"some[/]where\x1b" in text
    assert not CONTROL_CHARACTERS.search(text)


def test_more_is_logged_with_v(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    fail_with(monkeypatch, AssertionError())
    assert main(["info", "x", "-v"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "asem: AssertionError; this is an internal error of asem" in err.splitlines()[-1]


def test_a_report_that_cannot_be_in_the_folder_is_elsewhere(tmp_path, monkeypatch, capsys):
    gone, other = tmp_path / "gone", tmp_path / "other"
    gone.mkdir()
    other.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr("tempfile.tempdir", str(other))
    fail_with(monkeypatch, ZeroDivisionError("0"))
    assert main(["info", "x"]) == 2
    assert str(next(other.iterdir())) in capsys.readouterr().err
    monkeypatch.setattr("tempfile.tempdir", str(gone))
    assert main(["info", "x"]) == 2
    assert "no report could be written" in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError(), MemoryError("Unable to allocate 9 EiB")])
def test_memory_that_ran_out_is_no_fault_of_asem(tmp_path, monkeypatch, capsys, error):
    monkeypatch.chdir(tmp_path)
    fail_with(monkeypatch, error)
    assert main(["info", "x"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("asem: out of memory (")
    assert "a smaller --tile" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [ImportError, OSError])
@pytest.mark.parametrize(
    "reason", ["x.so: failed to map segment from shared object", "x.so: Cannot allocate memory"]
)
def test_a_library_that_memory_is_too_short_for(tmp_path, monkeypatch, capsys, kind, reason):
    monkeypatch.chdir(tmp_path)
    fail_with(monkeypatch, kind(f"\nMany lines of advice.\n{reason}\n"))
    assert main(["info", "x"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"asem: out of memory ({reason}); close other programs")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("megabytes", [130, 150, 200])
def test_a_command_that_may_take_little_memory_says_so(tmp_path, megabytes):
    limit = megabytes * 10**6
    done = subprocess.run(
        [sys.executable, "-m", "asem", "info", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "internal error of asem" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_memory_of_a_gpu_that_ran_out(tmp_path, monkeypatch, capsys):
    import asem.model.device  # noqa: F401 - as every command that uses PyTorch does

    monkeypatch.chdir(tmp_path)
    fail_with(monkeypatch, RuntimeError("CUDA out of memory. Tried to allocate 9 GiB\nmore"))
    assert main(["info", "x"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("asem: out of memory (CUDA out of memory. Tried to allocate 9 GiB); ")


def test_endless_recursion_ends(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def describe(*path):
        return describe(*path)

    monkeypatch.setattr("asem.workflows.describe.describe_volume", describe)
    assert main(["info", "x"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("asem: RecursionError: something is nested too deeply; ")
    (report,) = tmp_path.iterdir()
    assert len(report.read_text()) < 20_000


def test_other_ends_stay_what_they_are(monkeypatch):
    fail_with(monkeypatch, SystemExit(7))
    with pytest.raises(SystemExit, match="7"):
        main(["info", "x"])


def test_names_that_are_no_text_are_escaped_in_a_process(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "asem", "info", b"a\x1b[2J\xff"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 2
    assert rb"a\x1b[2J\xff" in done.stderr


def test_results_are_tables_with_units():
    scores = {"precision": 0.91234, "recall": 0.5, "f1": None, "iou": 0.4, "voxels": 1234567}
    lines = format_result(
        {
            "exclusion_zone": scores,
            "all": scores,
            "window": [28131.5, 61234.0],
            "voxel_size": [4.98765, 4, 4],
            "offset_nm": [0.0, 1234567.25, 3],
            "seconds": 12345.678,
            "begun_by": [{"model": "m"}],
            "outputs": {"my_cell.zarr/p": {"tile": 104}},
            "memory_mib": {"host": 996},
        }
    )
    rows = {tuple(line.split()[:1]): " ".join(line.split()) for line in lines}
    assert rows[("outside",)] == "outside the exclusion zone 0.912 0.500 - 0.400 1,234,567"
    assert rows[("contrast",)] == "contrast window 28131.5, 61234"
    assert rows[("voxel",)] == "voxel size (z, y, x) 4.98765 x 4 x 4 nm"
    assert rows[("position",)].endswith("0, 1234567.25, 3 nm")
    assert rows[("time",)] == "time 12,346 s"
    assert rows[("begun",)] == 'begun by {"model": "m"}'
    assert "my_cell.zarr/p" in rows[("my_cell.zarr/p",)]
    assert rows[("tile",)] == "tile 104 voxels"
    assert rows[("host",)] == "host 996 MiB"
    assert format_result({"all": scores, "exclusion_zone": None, "zone": None})[2:] == [
        "exclusion zone  -"
    ]


def test_errors_of_the_system_have_no_number(monkeypatch, capsys):
    fail_with(monkeypatch, FileNotFoundError(2, "No such file or directory", "a/b.json"))
    assert main(["info", "x"]) == 2
    assert capsys.readouterr().err == "asem: a/b.json: No such file or directory\n"


def test_scores_of_regions_are_a_table():
    scores = {"validation_loss": 0.25, "precision": 1.0, "recall": None, "f1": 0.5, "voxels": 12345}
    rows = [
        {"region": "a", **scores},
        {"region": "naïve cell", **dict.fromkeys(scores)},
    ]
    lines = format_result({"metrics": {"f1": 0.5, "regions": rows}})
    table = [re.split(" {2,}", line.strip()) for line in lines[-3:]]
    assert table[0] == ["validation regions", "loss", "precision", "recall", "F1", "voxels"]
    assert table[1] == ["a", "0.250", "1.000", "-", "0.500", "12,345"]
    assert table[2] == ["naïve cell", *"-----"]
    assert len({len(line) for line in lines[-3:]}) == 1
    assert format_result({"regions": []}) == []
