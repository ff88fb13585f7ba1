import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from asem.cli import main
from asem.workflows import demo as demo_workflow
from asem.workflows.demo_folder import DEMO

SMALL = {
    "SHAPE": (48, 64, 120),
    "TRAIN_ROI": ":,:,:64",
    "VALIDATION_ROI": ":,:,64:90",
    "TEST_ROI": ":,:,90:",
}


@pytest.mark.slow
def test_the_demo_keeps_its_promise(demo):
    """The whole main job through the public verbs: F1 >= 0.85 on what the network never saw."""
    folder, words = demo
    f1, *others = re.findall(r"(?:F1|precision|recall|IoU) (0\.\d{3})\b", words)
    assert float(f1) >= 0.85
    assert len(others) == 3
    assert f1 in (folder / "report.html").read_text()
    assert len(list((folder / "tiff/segmentation").iterdir())) == 96


@pytest.mark.slow
def test_the_demo_says_what_to_open_next(demo, asem):
    folder, words = demo
    assert "The demo is finished" in words.splitlines()[0]
    paths = re.findall(rf"{re.escape(str(folder))}\S*", words.replace(";", " "))
    assert len(paths) == 6
    assert all(Path(path).exists() for path in paths)
    (command,) = re.findall(r"^ +asem (info .*)$", words, flags=re.MULTILINE)
    assert asem(*command.split()).returncode == 0
    assert f"asem view {folder / 'cell.zarr'} --open" in words
    assert (folder / "cell.zarr/predictions/mito/meshes/info").is_file()
    training_file = tomllib.loads((folder / "train.toml").read_text())
    assert training_file["structure"] == "mito"


@pytest.mark.slow
def test_a_demo_is_replaced_only_with_overwrite(demo, capsys):
    assert main(["demo", str(demo[0])]) == 2
    assert "exists already" in capsys.readouterr().err


def shrink(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setattr(demo_workflow, name, value)
    short = demo_workflow.TRAINING_TEMPLATE.replace("{iterations}", "2").replace(
        "patch = 76", "patch = 44"
    )
    monkeypatch.setattr(demo_workflow, "TRAINING_TEMPLATE", short)


@pytest.fixture
def small(monkeypatch):
    """A demo that takes seconds, and scores accordingly."""
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The folder of a demo that was interrupted after its stacks were written."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    folder = tmp_path_factory.mktemp("interrupted") / "p"
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setattr(demo_workflow, "import_volume", interrupt)
        assert main(["demo", str(folder)]) == 130
    return folder


@pytest.fixture
def begun(small, interrupted, tmp_path):
    """A copy of the interrupted demo, which the test may change."""
    shutil.copytree(interrupted, tmp_path / "p")
    return tmp_path / "p"


def snapshot(folder):
    return sorted(path for path in folder.rglob("*") if path.name != "lock")


def test_a_folder_is_no_demo_because_of_a_file_name(tmp_path, capsys):
    for name in ("demo.json", "thesis.tex"):
        (tmp_path / name).write_text("{}")
    before = snapshot(tmp_path)
    assert main(["demo", str(tmp_path), "--overwrite"]) == 2
    assert "is not a demo of asem; it is not replaced" in capsys.readouterr().err
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "place",
    ["thesis.tex", "tiff/thesis.tex", "tiff/raw/thesis.tif", "run/thesis.tex", "run/events/t.tex",
     "run/checkpoints/00000001/thesis.tex", "cell.zarr/thesis.tex", "cell.zarr/raw/0/c/thesis",
     "cell.zarr/clahe/zarr.json", ".asem/thesis.tex", "cell.zarr/raw/.asem/thesis.tex",
     "objects/thesis.tex", "scores/.asem/thesis.tex"],
)  # fmt: skip
def test_a_demo_with_a_foreign_file_is_not_deleted(begun, capsys, place):
    (begun / place).parent.mkdir(parents=True, exist_ok=True)
    (begun / place).write_text("x")
    before = snapshot(begun)
    assert main(["demo", str(begun), "--overwrite"]) == 2
    assert f"holds more than a demo ({place})" in capsys.readouterr().err.splitlines()[-1]
    assert snapshot(begun) == before


def test_a_training_file_that_was_changed_is_not_deleted(begun, capsys):
    (begun / "train.toml").write_text("mine")
    assert main(["demo", str(begun), "--overwrite"]) == 2
    assert "holds more than a demo (train.toml)" in capsys.readouterr().err.splitlines()[-1]


def test_two_demos_in_one_folder(begun, capsys, monkeypatch):
    codes = []

    def begin_another(folder):
        codes.append(main(["demo", str(begun), "--overwrite"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_workflow, "write_tiff_stacks", begin_another)
    assert main(["demo", str(begun), "--overwrite"]) == 130
    assert codes == [2]
    assert f"another process is writing {begun}; wait for it" in capsys.readouterr().err


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_no_demo_is_written_through_a_link(begun, tmp_path, capsys, overwrite):
    (tmp_path / "link").symlink_to("p")
    before = snapshot(begun)
    assert main(["demo", str(tmp_path / "link"), *overwrite]) == 2
    assert "link is a symbolic link" in capsys.readouterr().err
    assert snapshot(begun) == before


def test_the_result_for_programs(small, tmp_path, monkeypatch, capsys):
    """And all that the demo makes is known, at any moment, with what a killed process leaves."""
    folder, stages = tmp_path / "with blanks", set()
    run_demo = demo_workflow.run_demo

    def check(stage, done, total):
        DEMO.check_deletable(folder)
        stages.add(stage)

    def run_and_check(folder, *, progress, **options):
        return run_demo(folder, progress=check, **options)

    monkeypatch.setattr(demo_workflow, "run_demo", run_and_check)
    assert main(["demo", str(folder), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["report"] == str(folder / "report.html")
    assert result["cell"] == str(folder / "cell.zarr")
    assert set(result["scores"]) == {"exclusion_zone", "all", "zone"}
    assert result["f1"] == result["scores"]["exclusion_zone"]["f1"]
    words = demo_workflow.format_demo_summary(result)
    assert f"napari '{folder}/cell.zarr'\n" in words
    assert {"import", "training", "predict", "skeletons", "boundaries", "export"} < stages
    assert not (folder / ".asem").exists()
    left = folder / f"tiff/.asem-{'0' * 32}.partial"
    left.mkdir()
    (left / "segmentation_0000.tif").touch()
    (folder / f".asem-{'0' * 32}.partial").touch()
    DEMO.check_deletable(folder)
    (left / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        DEMO.check_deletable(folder)
