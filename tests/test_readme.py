"""README and the pages of docs: commands and code run as printed, on a small stack; links exist."""

import re
import shlex
import shutil
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import tifffile

import funlib
from asem.annotate.graphcut import GraphCutConfig
from asem.blocks.batch_job_config import BatchJobConfig
from asem.cli import main
from asem.phantom.synthetic_cell import make_synthetic_cell
from asem.structures import load_structure
from asem.training.config import TrainConfig
from asem.workflows.prediction_inputs import PredictionInputs

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
RUN_PAGES = (
    *("data", "training", "prediction", "measurement"),
    *("meshes", "scores", "models", "report"),
)
STEPS = [README, *(PAGES[f"{name}.md"] for name in RUN_PAGES)]
"""Pages whose commands run one after the other, in one folder."""


def blocks(language: str, *texts: str) -> list[str]:
    pattern = re.compile(rf"^```{language}\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
    return [block for text in texts for block in pattern.findall(text)]


def toml_files(*texts: str) -> dict[str, str]:
    """Return the TOML blocks by the file name in their first line."""
    return {re.match(r"# (\S+\.toml)\n", block)[1]: block for block in blocks("toml", *texts)}


def shortened(training_file):
    """Train for two iterations: whether the file works, not how well."""
    text, number = re.subn(
        r"^iterations = .*$", "iterations = 2", training_file, flags=re.MULTILINE
    )
    assert number == 1
    return text.replace("batch = 2", "batch = 1")


def test_make_has_the_targets_and_ci_calls_the_test_command():
    targets = re.findall(r"^make (\w+)$", blocks("console", README)[0], flags=re.MULTILINE)
    assert targets == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}:" in makefile for target in targets)
    assert "\nmake test\n" in (ROOT / ".ci/run").read_text()


@pytest.mark.slow
def test_the_demo_writes_the_report_that_readme_names(demo, asem):
    folder, printed = demo
    text = " ".join(README.split())
    page = re.findall(r"writes `\.demo/(.*?)`, a \[report\]", text)
    assert page == ["report.html"]
    assert str(folder / page[0]) in printed
    assert asem("demo", folder).returncode == 2


def test_users_install_a_wheel_as_the_demo_does(asem):
    assert "pip install 'asem[napari,view]'" in README
    assert asem("--version").stdout.strip() == metadata.version("asem")


def test_readme_is_short():
    assert len(README.splitlines()) < 150


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p}" for p in PAGES)])
def test_relative_links_exist(page):
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE)
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text)
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_every_page_is_linked_from_readme():
    assert {name for name in PAGES if f"(docs/{name})" not in README} == set()


def test_the_commands_of_all_pages_run_in_their_order(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    raw, labels = make_synthetic_cell((6, 24, 800), (5.0, 5.0, 5.0), np.random.default_rng(5))
    strokes = np.where(labels > 0, 1, 2)
    strokes[[0, 1, 3, 4, 5]] = strokes[:, :, ::3] = 0
    for name, voxels in (("stack", raw), ("mito_labels", labels), ("strokes", strokes)):
        Path(name).mkdir()
        for number, plane in enumerate(voxels):
            tifffile.imwrite(f"{name}/{name}_{number}.tif", plane.astype(np.uint8))
    files = toml_files(*STEPS)
    assert files.keys() == {"mito.toml", "nucleus.toml", "mito_cell2.toml", "whole_cell.toml"}
    files["mito.toml"] = shortened(files["mito.toml"])
    files["mito_cell2.toml"] = "iterations = 2\nvalidate_every = 1\n" + files["mito_cell2.toml"]
    for name, text in files.items():
        Path(name).write_text(text)
    assert load_structure("nucleus.toml").name == "nucleus"
    commands = [line for block in blocks("console", *STEPS)[1:] for line in block.splitlines()]
    assert len(commands) == 28
    funlib.save("model_checkpoint_1847_mito_CF.pt", funlib.random_state(levels=2))
    for command in commands:
        program, *words = shlex.split(command)
        if words[0] == "finetune":
            shutil.copytree("cell.zarr", "cell2.zarr")
            shutil.copytree("runs/mito", "runs/er")
        assert program == "asem"
        assert main(words) == 0, capsys.readouterr().err
    assert len(list(Path("segmentation_planes").iterdir())) == len(raw)
    capsys.readouterr()
    (code,) = blocks("python", *STEPS, PAGES["python.md"])
    exec(compile(code, "docs/python.md", "exec"), {})
    mean = np.pad(raw, [(0, 10), (0, 0), (0, 0)], mode="reflect")[:, :16, 600:616].mean()
    assert float(capsys.readouterr().out.split()[0]) == pytest.approx(mean)


def test_no_page_has_commands_or_code_that_no_test_runs():
    others = set(PAGES) - {f"{name}.md" for name in RUN_PAGES}
    commands = {name for name in others if blocks("console", PAGES[name])}
    code = {name for name in PAGES if blocks("python", PAGES[name])}
    settings = {name for name in others if blocks("toml", PAGES[name])}
    # annotation.md opens a window; the tests of the plugin do that
    # and tests/workflows/test_pores.py, test_pits.py and test_view.py run those pages
    assert commands == {
        "annotation.md", "migration.md", "phantom.md", "pits.md", "pores.md", "view.md",
    }  # fmt: skip
    assert code == {"annotation.md", "pits.md", "pores.md", "python.md"}
    assert settings == {"cluster.md", "phantom.md"}


def test_the_commands_of_the_page_on_the_synthetic_cell_are_valid(tmp_path, monkeypatch, capsys):
    """Cells of these sizes take minutes: what would be written is compared instead."""
    calls = []

    def record(destination, *, shape, voxel_size, seed, config, **options):
        calls.append((destination.name, shape, voxel_size, seed, config.preparation, config.pores))
        return {}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("asem.workflows.phantom.write_phantom", record)
    lines = [line for b in blocks("console", PAGES["phantom.md"]) for line in b.splitlines()]
    assert lines.pop() == "asem train pores.toml"
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, capsys.readouterr().err
    assert calls == [
        ("cell.zarr", (400, 512, 512), (5, 5, 5), 1, "hpfs", None),
        ("fixed.zarr", (400, 512, 512), (5.2, 4, 4), 2, "cf", 40),
        ("cell.zarr", (512, 512, 512), (5, 5, 5), 1, "hpfs", None),
        ("other.zarr", (256, 512, 512), (5, 5, 5), 2, "hpfs", None),
    ]
    Path("pores.toml").write_text(*blocks("toml", PAGES["phantom.md"]))
    config = TrainConfig.from_toml(Path("pores.toml"))
    assert (config.structure.name, config.voxel_size) == ("npc", (5, 5, 5))


def test_the_page_on_migration_works_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = PAGES["migration.md"]
    Path("train_er.json").write_text(*blocks("json", page))
    Path("mito.yaml").write_text("data_path: stack\ncoords: [1, 2, 30, 40]\nlamda: 10\n")
    for command in blocks("console", page)[0].splitlines():
        assert main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    config = TrainConfig.from_toml(Path("er.toml"))
    assert config.train[0].roi == "150:750,120:710,1295:2645"
    settings = tomllib.loads(Path("predict.toml").read_text())
    inputs = PredictionInputs.from_dict(settings, source="predict.toml")
    assert inputs.input[0].model[0].checkpoint == Path("models/er_1841")
    assert GraphCutConfig.from_toml(Path("cut.toml")).paper.smoothness == 10


def test_the_functions_on_the_python_page_exist():
    for command, functions in re.findall(r"^\| `asem (.*?) \| (.*?) \|$", PAGES["python.md"], re.M):
        for name in re.findall(r"`(\w+\.\w+)`", functions):
            module, function = name.split(".")
            source = (ROOT / f"src/asem/workflows/{module}.py").read_text()
            assert f"\ndef {function}(" in source, f"{command}: no {name}"


def test_the_file_of_batch_jobs_is_valid():
    files = toml_files(PAGES["cluster.md"])
    jobs = BatchJobConfig.from_dict(tomllib.loads(files["jobs.toml"]), source="docs/cluster.md")
    assert (jobs.jobs, jobs.cores) == (16, 4)


def test_the_measured_example_is_the_training_file_shown():
    example = (ROOT / "examples/epfl_mito.toml").read_text()

    def settings(text):
        lines = (line.split("#")[0].strip() for line in text.splitlines())
        return [line for line in lines if line and not line.startswith(("raw", "labels"))]

    assert settings(toml_files(README)["mito.toml"]) == settings(example)


def test_the_page_on_annotation_works_as_it_stands(capsys):
    page = PAGES["annotation.md"]
    (code,) = blocks("python", page)
    exec(compile(code, "docs/annotation.md", "exec"), {})
    assert re.fullmatch(r"\d+ \(\d+, \d+, \d+\)\n", capsys.readouterr().out)
    for row in re.findall(r"^\| `(.*? = .*?)` \|", page, flags=re.MULTILINE):
        config = GraphCutConfig.from_dict(tomllib.loads(row), source="docs/annotation.md")
        is_alternative = row.startswith(("mixture_components", "energy"))
        assert is_alternative or config == GraphCutConfig(), f"{row} is not the default"
