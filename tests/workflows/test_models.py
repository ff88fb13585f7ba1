"""Conversion of published checkpoints; export of models to ONNX and bioimage.io."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import zipfile

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import funlib
from asem.blocks.executors import SERIAL_EXECUTOR
from asem.model import checkpoint as checkpoints
from asem.model.checkpoint import find_checkpoint, load_checkpoint
from asem.model.checkpoint_info import Origin
from asem.model.published_models import PREPARATIONS, PUBLISHED_MODELS, find_published_model
from asem.structures import PRESETS
from asem.volume.sources import open_volume
from asem.workflows import models
from asem.workflows.importing import import_volume
from asem.workflows.models import convert_model, export_model
from asem.workflows.predict import predict_volume
from asem.workflows.prediction_inputs import make_prediction_input
from asem.workflows.prediction_plan import PredictionPlan

TEN = (10.0, 10.0, 10.0)
# In a separate process, since it leaves files open; network access is disabled.
ACCEPTED = """
import socket, sys
def disabled(*args, **kwargs):
    raise OSError("no network access in this test")
socket.socket.connect = socket.getaddrinfo = disabled
import bioimageio.core
summary = bioimageio.core.test_model(sys.argv[1])
for detail in summary.details:
    print(detail.name, detail.status, [error.msg for error in detail.errors])
print(summary.status)
"""


PREDICTED = """
import sys
import numpy as np
import bioimageio.core
from bioimageio.core.digest_spec import create_sample_for_model
from bioimageio.spec import load_model_description
model = load_model_description(sys.argv[1], perform_io_checks=False)
sample = create_sample_for_model(model, inputs={"raw": np.load("grey.npy")})
with bioimageio.core.create_prediction_pipeline(model) as pipeline:
    given = pipeline.predict_sample_without_blocking(sample).members["probability"]
np.save("given.npy", given.data.to_numpy())
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    return funlib.save(folder / "model_checkpoint_1847_mito_CF.pt", funlib.random_state(levels=2))


@pytest.fixture(scope="module")
def converted(checkpoint):
    convert_model(checkpoint, checkpoint.parent / "mito", structure="mito", voxel_size=TEN)
    return checkpoint.parent / "mito"


def test_the_seven_published_models():
    models = {
        (m.number, m.structure, m.preparation, m.voxel_size, m.voxel_size_range)
        for m in PUBLISHED_MODELS
    }
    mixed = ((3.2, 4, 4), (5.24, 4, 4))  # Hela cells 19 and 20
    assert models == {
        (1847, "mito", "CF", (5, 5, 5), None),
        (1837, "golgi", "CF", (5, 5, 5), None),
        (1841, "er", "CF", (5, 5, 5), None),
        (1675, "mito", "HPFS", (4, 4, 4), mixed),
        (1669, "er", "HPFS", (4, 4, 4), mixed),
        (1986, "ccp", "HPFS", (5, 5, 5), None),
        (2000, "npc", "HPFS", (5, 5, 5), None),
    }
    assert {m.structure for m in PUBLISHED_MODELS} <= set(PRESETS)
    assert {m.preparation for m in PUBLISHED_MODELS} == set(PREPARATIONS)
    with pytest.raises(ValueError, match="unknown published model 7; known: 1847, 1837"):
        find_published_model(7)


def test_metadata_of_a_converted_model(checkpoint, tmp_path):
    result = convert_model(checkpoint, tmp_path / "a/mito", published=1847)
    assert result["structure"] == "mito"
    assert result["voxel_size"] == [5, 5, 5]
    assert result["network"]["features"] == 2
    assert result["parameters"] == sum(v.numel() for v in funlib.random_state(levels=2).values())
    assert {file.name for file in (tmp_path / "a/mito").iterdir()} == {
        "model.safetensors",
        "state.json",
    }
    _, info = load_checkpoint(find_checkpoint(tmp_path / "a/mito"))
    assert (info.training, info.inputs, info.iteration) == (None, (), 0)
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert info.origin == Origin(file=checkpoint.name, sha256=digest, published=1847)


def test_it_predicts_what_the_published_network_does(converted, checkpoint, cell, tmp_path):
    raw = cell / "cell.zarr/raw"
    predict_volume(converted, raw, tmp_path / "p", device="cpu", precision="32", tile=8)
    grey = open_volume(raw).read(open_volume(raw).roi)
    predicted = open_volume(tmp_path / "p").read(open_volume(tmp_path / "p").roi)
    # A part that starts on the lattice of 2, context 9: no voxel of it is reflected.
    part = torch.from_numpy(grey[3:31, 5:33, 7:35] / np.float32(127.5) - 1)
    logits = funlib.computed(funlib.random_state(levels=2), part[None, None])
    expected = logits.softmax(1)[0, 1].numpy() * 255
    inner = predicted[12:22, 14:24, 16:26]
    assert expected.shape == inner.shape
    assert expected.std() > 2
    assert np.abs(inner - expected).max() <= 0.51


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give --structure NAME and --voxel-size z,y,x, or --published NUMBER"),
        ({"structure": "mito"}, "give --structure NAME and --voxel-size"),
        ({"voxel_size": TEN}, "give --structure NAME and --voxel-size"),
        ({"structure": "mitos", "voxel_size": TEN}, "unknown structure 'mitos'"),
        ({"structure": "mito", "voxel_size": (5, 0, 5)}, "--voxel-size 5,0,5: .* be positive"),
        ({"published": 1}, "unknown published model 1"),
        ({"published": 1847, "structure": "mitos"}, "unknown structure 'mitos'"),
        ({"published": 1847, "voxel_size": (5, -5, 5)}, "must be positive"),
    ],
)
def test_structure_and_voxel_size_of_a_checkpoint_are_required(
    checkpoint, tmp_path, options, message
):
    with pytest.raises(ValueError, match=message):
        convert_model(checkpoint, tmp_path / "m", **options)
    assert not list(tmp_path.iterdir())


def test_repeating_the_published_metadata_is_allowed(checkpoint, tmp_path, caplog):
    same = {"structure": "mito", "voxel_size": (5.0, 5.0, 5.0)}
    assert convert_model(checkpoint, tmp_path / "m", published=1847, **same)["structure"] == "mito"
    assert not caplog.records


@pytest.mark.parametrize(
    ("options", "expected", "warnings"),
    [
        ({}, ("mito", [4, 4, 4], [[3.2, 4, 4], [5.24, 4, 4]]), []),
        ({"structure": "er"}, ("er", [4, 4, 4], [[3.2, 4, 4], [5.24, 4, 4]]), ["model 1675, mito"]),
        (
            {"voxel_size": (4.0, 4.0, 4.0)},
            ("mito", [4, 4, 4], None),
            ["--voxel-size 4,4,4 overrides the voxel size of the published model 1675, 3.2-5.24"],
        ),
        (
            {"structure": "golgi", "voxel_size": TEN},
            ("golgi", [10, 10, 10], None),
            ["--structure golgi overrides", "--voxel-size 10,10,10 overrides"],
        ),
    ],
)
def test_options_override_what_a_published_model_states(
    checkpoint, tmp_path, caplog, options, expected, warnings
):
    result = convert_model(checkpoint, tmp_path / "m", published=1675, **options)
    keys = ("structure", "voxel_size", "voxel_size_range")
    assert tuple(result[key] for key in keys) == expected
    info = load_checkpoint(tmp_path / "m")[1]
    assert json.loads(info.model_dump_json(include=set(keys))) == {key: result[key] for key in keys}
    assert len(caplog.records) == len(warnings)
    assert all(text in line for text, line in zip(warnings, caplog.messages, strict=True))


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((5.2, 4.0, 4.0), (5.2, 4.0, 4.0)),
        ((5.24, 4.0, 4.0), (5.24, 4.0, 4.0)),
        ((3.2, 4.0, 4.0), (3.2, 4.0, 4.0)),
        ((3.24, 4.0, 4.0), (3.24, 4.0, 4.0)),
        ((4.0, 4.0, 4.0), (4.0, 4.0, 4.0)),
        ((5.3, 4.0, 4.0), (4.0, 4.0, 4.0)),
        ((3.1, 4.0, 4.0), (4.0, 4.0, 4.0)),
        ((5.2, 4.0, 5.0), (4.0, 4.0, 4.0)),
        ((2.0, 2.0, 2.0), (4.0, 4.0, 4.0)),
    ],
)
def test_a_stack_within_the_range_is_not_resampled(checkpoint, cell, tmp_path, caplog, size, seen):
    convert_model(checkpoint, tmp_path / "m", published=1669)
    import_volume(cell / "raw.tif", tmp_path / "raw", voxel_size=size, roi=":12,:14,:16")
    options = {"tile": 8, "device": "cpu", "precision": "32"}
    job = make_prediction_input(
        tmp_path / "m", tmp_path / "raw", tmp_path / "p", tile=8, precision="32"
    )
    with caplog.at_level("INFO", logger="asem"):
        plan = PredictionPlan.from_input(
            job, device="cpu", overwrite=False, executor=SERIAL_EXECUTOR
        )
    assert plan.models[0].network.voxel_size == seen
    used = seen == size and size != (4.0, 4.0, 4.0)
    assert ("are not resampled; the network was trained on 3.2-5.24 x 4 x 4" in caplog.text) == used
    interpolated = "are interpolated to the model's" in caplog.text
    assert interpolated == (seen != size and size != (2.0, 2.0, 2.0))
    if not used:
        return
    # The same as with a model of exactly this voxel size; resampling is not needed.
    convert_model(checkpoint, tmp_path / "own", structure="er", voxel_size=size)
    for name in ("m", "own"):
        predict_volume(
            tmp_path / name, tmp_path / "raw", tmp_path / f"p_{name}", resample=False, **options
        )
    first, second = (open_volume(tmp_path / f"p_{name}") for name in ("m", "own"))
    assert (first.read(first.roi) == second.read(second.roi)).all()


def test_nothing_is_replaced_by_accident(checkpoint, converted, run, tmp_path):
    options = {"structure": "er", "voxel_size": TEN}
    with pytest.raises(FileExistsError, match="exists already; give --overwrite"):
        convert_model(checkpoint, converted, **options)
    for other in (run, checkpoint):
        with pytest.raises(FileExistsError, match="is not a converted model of asem; it is"):
            convert_model(checkpoint, other, overwrite=True, **options)
    convert_model(checkpoint, tmp_path / "m", structure="mito", voxel_size=TEN)
    bad = tmp_path / "bad.pt"
    bad.write_bytes(b"x")
    with pytest.raises(ValueError, match="cannot be converted"):
        convert_model(bad, tmp_path / "m", overwrite=True, **options)
    assert load_checkpoint(tmp_path / "m")[1].structure == "mito"
    convert_model(checkpoint, tmp_path / "m", overwrite=True, **options)
    assert load_checkpoint(tmp_path / "m")[1].structure == "er"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.pt", "m"]


def test_onnx(run, tmp_path):
    result = export_model(run, tmp_path / "out/mito.onnx", format="onnx")
    assert (result["context"], result["smallest"], result["step"]) == (9, 20, 2)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mito.onnx"]
    model = onnx.load(tmp_path / "out/mito.onnx")
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    assert (metadata["structure"], metadata["voxel_size"]) == ("mito", "10,10,10")
    assert "training" not in json.loads(metadata["checkpoint"])
    session = onnxruntime.InferenceSession(tmp_path / "out/mito.onnx")
    (probability,) = session.run(None, {"raw": np.zeros((1, 1, 24, 20, 26), np.float32)})
    assert probability.shape == (1, 1, 6, 2, 8)


def test_bioimageio_accepts_the_package(converted, tmp_path):
    export_model(
        converted, tmp_path / "m.zip", format="bioimageio", authors=["A. B."], license_id="MIT"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["m.zip"]
    done = alone(ACCEPTED, tmp_path)
    assert done.stdout.splitlines()[-1:] == ["passed"], done.stdout + done.stderr
    assert done.stdout.count("onnx inference for inputs") == 6
    with zipfile.ZipFile(tmp_path / "m.zip") as package:
        names = {"rdf.yaml", "README.md", "model.onnx", "raw.npy", "probability.npy"}
        assert set(package.namelist()) == names
        text, readme = package.read("rdf.yaml").decode(), package.read("README.md").decode()
    assert "name: A. B." in text
    assert "license: MIT" in text
    assert "10.1083/jcb.202208005" in text
    assert "model_checkpoint_1847_mito_CF.pt" in readme
    assert "20 voxels or any whole multiple of 2 more" in " ".join(readme.split())


def alone(code, folder):
    environment = {**os.environ, "BIOIMAGEIO_CACHE_PATH": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-c", code, str(folder / "m.zip")],
        capture_output=True, text=True, check=False, cwd=folder, env=environment,
    )  # fmt: skip


def test_a_package_gives_from_8_bit_raw_what_the_network_does(tmp_path, rng):
    """Without a margin of 1 voxel, so that a multiple of the lattice of 4 remains."""
    state = funlib.random_state(levels=3)
    file = funlib.save(tmp_path / "m.pt", state)
    convert_model(file, tmp_path / "m", structure="mito", voxel_size=TEN)
    result = export_model(tmp_path / "m", tmp_path / "m.zip", format="bioimageio")
    assert (result["context"], result["smallest"], result["step"]) == (22, 48, 4)
    grey = rng.integers(0, 256, (1, 1, 60, 48, 52)).astype(np.uint8)
    np.save(tmp_path / "grey.npy", grey)
    done = alone(PREDICTED, tmp_path)
    assert done.returncode == 0, done.stderr
    logits = funlib.computed(state, torch.from_numpy(grey / np.float32(127.5) - 1))
    expected = logits.softmax(1)[:, 1:, 1:-1, 1:-1, 1:-1].numpy()
    given = np.load(tmp_path / "given.npy")
    assert given.shape == expected.shape == (1, 1, 16, 4, 8)
    assert np.abs(given - expected).max() <= 1e-4


def test_bioimageio_would_refuse_another_network(converted, tmp_path):
    """The package's own test fails for weights with another output."""
    export_model(converted, tmp_path / "w.zip", format="bioimageio")
    other = funlib.save(tmp_path / "o.pt", funlib.random_state(levels=2, seed=1))
    convert_model(other, tmp_path / "o", structure="mito", voxel_size=TEN)
    export_model(tmp_path / "o", tmp_path / "o.onnx", format="onnx")
    with (
        zipfile.ZipFile(tmp_path / "w.zip") as source,
        zipfile.ZipFile(tmp_path / "m.zip", "w") as target,
    ):
        for name in source.namelist():
            other_one = name == "model.onnx"
            target.writestr(
                name, (tmp_path / "o.onnx").read_bytes() if other_one else source.read(name)
            )
    assert "elements disagree with expected values" in alone(ACCEPTED, tmp_path).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "onnx", "authors": ["A"]}, "stored in packages only; give --format bioimageio"),
        (
            {"format": "onnx", "license_id": "MIT"},
            "stored in packages only; give --format bioimageio",
        ),
        ({"format": "bioimageio", "license_id": "FREE"}, "unknown license 'FREE'; .*CC-BY-4.0"),
        ({"format": "bioimageio", "authors": ["a/b"]}, r"bioimage\.io does not allow this: "),
    ],
)
def test_bad_exports_leave_nothing(converted, tmp_path, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        export_model(converted, tmp_path / "m", **options)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_exports_replace_nothing_by_accident(converted, tmp_path):
    (tmp_path / "m").write_text("other")
    for overwrite in (False, True):
        for place in (tmp_path, tmp_path / "m"):
            with pytest.raises(FileExistsError, match="is not an exported model of asem; it is"):
                export_model(converted, place, format="onnx", overwrite=overwrite)
    with pytest.raises(ValueError, match="is no checkpoint"):
        export_model(tmp_path, tmp_path / "n", format="onnx", overwrite=True)
    assert (tmp_path / "m").read_text() == "other"
    (tmp_path / "m").unlink()
    export_model(converted, tmp_path / "m", format="bioimageio")
    with pytest.raises(FileExistsError, match="exists already; give --overwrite to replace it"):
        export_model(converted, tmp_path / "m", format="onnx")
    export_model(converted, tmp_path / "m", format="onnx", overwrite=True)
    onnx.checker.check_model(onnx.load(tmp_path / "m"))


def test_what_appears_while_a_model_is_written_stays(converted, checkpoint, tmp_path, monkeypatch):
    """Neither an export nor a conversion replaces it; folders of a similar name remain, too."""
    run_onnx = models._run_onnx

    def and_then(file, raw):
        (tmp_path / "m.onnx").write_text("other")
        return run_onnx(file, raw)

    monkeypatch.setattr(models, "_run_onnx", and_then)
    with pytest.raises(FileExistsError, match=r"m.onnx exists already and is not an expo"):
        export_model(converted, tmp_path / "m.onnx", format="onnx")
    assert (tmp_path / "m.onnx").read_text() == "other"
    (tmp_path / "m.partial").mkdir()
    (tmp_path / "m.partial/notes").write_text("other")
    save = checkpoints.save_tensors

    def and_make(*args):
        save(*args)
        (tmp_path / "m").mkdir()
        (tmp_path / "m/notes").write_text("other")

    monkeypatch.setattr(checkpoints, "save_tensors", and_make)
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="m exists already and is not a converted"):
            convert_model(checkpoint, tmp_path / "m", published=1847, overwrite=overwrite)
    assert (tmp_path / "m/notes").read_text() == "other"
    assert (tmp_path / "m.partial/notes").read_text() == "other"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "m.onnx", "m.partial"]


def test_a_file_that_takes_the_place_of_the_old_export_stays(converted, tmp_path, monkeypatch):
    """An export overwrites only the file that existed when it started."""
    run_onnx = models._run_onnx

    def and_replace(file, raw):
        (tmp_path / "new").write_text("other")
        (tmp_path / "new").replace(tmp_path / "m.onnx")
        return run_onnx(file, raw)

    export_model(converted, tmp_path / "m.onnx", format="onnx")
    monkeypatch.setattr(models, "_run_onnx", and_replace)
    with pytest.raises(FileExistsError, match=r"m.onnx exists already and is not an expo"):
        export_model(converted, tmp_path / "m.onnx", format="onnx", overwrite=True)
    assert (tmp_path / "m.onnx").read_text() == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_folders_with_the_names_of_a_model_are_not_deleted(checkpoint, tmp_path):
    for name in ("model.safetensors", "state.json"):
        (tmp_path / "m" / name).mkdir(parents=True)
    (tmp_path / "m/state.json/thesis").write_text("x")
    with pytest.raises(FileExistsError, match="m exists already and is not a converted"):
        convert_model(checkpoint, tmp_path / "m", published=1847, overwrite=True)
    assert (tmp_path / "m/state.json/thesis").read_text() == "x"


KILLED = """
import os, signal, sys
from asem.cli import main
from asem.workflows import models
models._run_onnx = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main(["models", "export", sys.argv[1], "m.onnx", "--format", "onnx"])
"""


def test_what_a_killed_export_left_is_removed_by_the_next_one(converted, tmp_path):
    words = [sys.executable, "-c", KILLED, str(converted)]
    assert subprocess.run(words, cwd=tmp_path).returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir())
    export_model(converted, tmp_path / "m.onnx", format="onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_is_written_through_links(converted, checkpoint, tmp_path, overwrite):
    convert_model(checkpoint, tmp_path / "m", published=1847)
    (tmp_path / "m.onnx").write_text("other")
    (tmp_path / "link").symlink_to("m")
    (tmp_path / "file").symlink_to("m.onnx")
    with pytest.raises(FileExistsError, match="link is a symbolic link; give the path"):
        convert_model(checkpoint, tmp_path / "link", published=1847, overwrite=overwrite)
    with pytest.raises(FileExistsError, match="file is a symbolic link; give the path"):
        export_model(converted, tmp_path / "file", format="onnx", overwrite=overwrite)
    assert (tmp_path / "m.onnx").read_text() == "other"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "m", "m.onnx"]


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "bioimageio"])
def test_without_the_extra(converted, tmp_path, monkeypatch, missing):
    monkeypatch.setattr(models, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(ValueError, match=rf"needs {missing}; pip install 'asem\[export\]'"):
        export_model(converted, tmp_path / "m", format="onnx")


def test_an_export_that_computes_something_else_is_not_written(converted, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "_run_onnx", lambda file, raw: np.full((1, 1, 2, 2, 2), np.nan))
    with pytest.raises(ValueError, match="differs from PyTorch by nan"):
        export_model(converted, tmp_path / "m", format="onnx")
    assert not list(tmp_path.iterdir())
