"""An input that another command replaces while it is read gives no result that looks finished."""

import json
import shutil
import uuid
from pathlib import Path

import pytest

from asem.structures import PRESETS
from asem.volume import ngff
from asem.workflows.clahe import clahe_volume
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.exporting import export_volume
from asem.workflows.importing import import_volume
from asem.workflows.instances import label_instances
from asem.workflows.labels import label_volume
from asem.workflows.mask import mask_volume
from asem.workflows.measure import measure_instances
from asem.workflows.mesh import mesh_instances
from asem.workflows.pits import measure_pits
from asem.workflows.pores import measure_pores
from asem.workflows.predict import predict_volume

RAW, LABELS, CELL, OUT = Path("raw"), Path("mito"), Path("cell"), Path("out")


@pytest.fixture
def inputs(cell, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(cell / "cell.zarr/raw", RAW)
    for copy in (LABELS, CELL):
        shutil.copytree(cell / "cell.zarr/labels/mito", copy)
    metadata = CELL / "zarr.json"
    metadata.write_text(metadata.read_text().replace('"uuid": "', '"uuid": "another '))
    return run


def replacing(image, *, deleted=False):
    """Return what replaces an image, or deletes it, at the first block."""

    def progress(*_):
        if not (image / "zarr.json").exists():
            return
        document = json.loads((image / "zarr.json").read_text())
        document["attributes"]["asem"]["uuid"] = str(uuid.uuid4())
        (image / "zarr.json").write_text(json.dumps(document))
        if deleted:
            (image / "zarr.json").unlink()

    return progress


COMMANDS = {
    "mask": (RAW, lambda _, progress: mask_volume(RAW, OUT, progress=progress)),
    "clahe": (RAW, lambda _, progress: clahe_volume(RAW, OUT, progress=progress)),
    "import": (RAW, lambda _, progress: import_volume(RAW, OUT, progress=progress)),
    "export": (RAW, lambda _, progress: export_volume(RAW, OUT, progress=progress)),
    "labels": (
        LABELS,
        lambda _, progress: label_volume(LABELS, OUT, PRESETS["er"], progress=progress),
    ),
    "instances": (LABELS, lambda _, progress: label_instances(LABELS, OUT, progress=progress)),
    "measure": (LABELS, lambda _, progress: measure_instances(LABELS, OUT, progress=progress)),
    "mesh": (LABELS, lambda _, progress: mesh_instances(LABELS, OUT, progress=progress)),
    "pores": (LABELS, lambda _, progress: measure_pores(LABELS, RAW, OUT, progress=progress)),
    "pits": (
        LABELS,
        lambda _, progress: measure_pits(LABELS, RAW, OUT, mask=CELL, progress=progress),
    ),
    "evaluate": (LABELS, lambda _, progress: evaluate_volume(LABELS, LABELS, progress=progress)),
    "predict": (
        RAW,
        lambda run, progress: predict_volume(run, RAW, OUT, tile=24, progress=progress),
    ),
}


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("name", COMMANDS)
def test_what_was_read_of_two_images_is_not_finished(inputs, name, deleted):
    image, command = COMMANDS[name]
    with pytest.raises(OSError, match=f"{image} was replaced, moved or deleted while it was read"):
        command(inputs, replacing(image, deleted=deleted))
    assert not ngff.is_image(OUT)
    assert not (OUT / "provenance.json").exists()
    assert name != "export" or not OUT.exists()
