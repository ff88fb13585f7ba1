r"""Predict a crop of a cell of the paper with its published network, and score the prediction.

::

    python examples/reproduce_paper.py reproduced
    python examples/reproduce_paper.py reproduced --cell cell_6 --model 1841 \
        --offset 400 926 2512 --shape 241 476 528

reads from the paper's bucket, s3://asem-project, only the blocks that it needs::

    datasets/CELL/CELL.zarr/volumes/raw_equalized_0.02       Zarr 2, offset and resolution in nm
    datasets/CELL/CELL.zarr/volumes/labels/STRUCTURE
    models/pretrained_checkpoints/model_checkpoint_NUMBER_STRUCTURE_PREPARATION.pt

The crop has the form of the published data configs: offset and shape in voxels, z y x, from the
world's origin. After an interruption, the same command resumes. With AWS_ENDPOINT_URL, another
server with the same layout is read.
"""

import argparse
import json
import sys
from pathlib import Path

from asem.model.published_models import PublishedModel, find_published_model
from asem.system.files import replace_file
from asem.volume.address import Address
from asem.volume.formats.stores import read_bytes
from asem.workflows.evaluate import evaluate_volume
from asem.workflows.migrate import MigrationOptions, migrate_file
from asem.workflows.migration_notes import format_notes
from asem.workflows.models import convert_model
from asem.workflows.predict import predict_inputs
from asem.workflows.prediction_inputs import PredictionInputs

CHECKPOINTS = "models/pretrained_checkpoints"
"""Folder of the checkpoints in the bucket."""
MAX_CHECKPOINT_BYTES, DOWNLOAD_SECONDS = 2**32, 3600.0
"""Limits of the download of a checkpoint, which has the state of the optimizer, too."""


def write_data_config(options: argparse.Namespace, structure: str) -> Path:
    """Write a data config as the published pipeline has them."""
    config = {
        options.cell: {
            "file": f"{options.cell}/{options.container or options.cell}.zarr",
            "offset": options.offset,
            "shape": options.shape,
            "voxel_size": options.voxel_size,
            "raw": options.raw,
            "labels": {f"volumes/labels/{structure}": 1},
        }
    }
    path: Path = options.out / "data_config.json"
    path.write_text(json.dumps(config, indent=4))
    return path


def convert_published_model(model: PublishedModel, bucket: Address, folder: Path) -> Path:
    """Download a checkpoint, and convert it; both are skipped where they are finished."""
    name = f"model_checkpoint_{model.number}_{model.structure}_{model.preparation}.pt"
    file, converted = folder / name, folder / f"{model.structure}_{model.number}"
    if not file.exists():
        content = read_bytes(
            bucket.join(CHECKPOINTS, name),
            max_bytes=MAX_CHECKPOINT_BYTES,
            timeout_s=DOWNLOAD_SECONDS,
        )
        if content is None:
            raise FileNotFoundError(f"there is nothing at {bucket.join(CHECKPOINTS, name)}")
        with replace_file(file) as opened:
            opened.write(content)
    if not converted.exists():
        convert_model(file, converted, published=model.number)
    return converted


def reproduce(options: argparse.Namespace) -> dict[str, float]:
    """Migrate, convert, predict and evaluate; return the scores outside of the exclusion zone."""
    model = find_published_model(options.model)
    options.out.mkdir(parents=True, exist_ok=True)
    bucket = Address.parse(options.bucket)
    config = options.config or write_data_config(options, model.structure)
    settings = MigrationOptions(
        target="predict",
        data_folder=bucket.join("datasets"),
        model=convert_published_model(model, bucket, options.out),
    )
    inputs_file = options.out / "predict.toml"
    _, migrated = migrate_file(config, out=inputs_file, options=settings, overwrite=True)
    print(*format_notes(migrated.notes), sep="\n")
    inputs = PredictionInputs.from_toml(inputs_file)
    predict_inputs(inputs)
    (name, dataset), *_ = json.loads(config.read_text()).items()
    labels = bucket.join("datasets", dataset["file"], next(iter(dataset["labels"])))
    prediction = inputs.input[0].model[0].out
    scores = evaluate_volume(prediction, labels, structure_name=model.structure)
    for voxels in ("exclusion_zone", "all"):
        print(f"{name}, {voxels}:", json.dumps(scores[voxels]))
    result: dict[str, float] = scores["exclusion_zone"]
    return result


def parse_options() -> argparse.Namespace:
    """Read the options; the defaults are the example of the published pipeline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    triple = {"type": int, "nargs": 3, "metavar": ("Z", "Y", "X")}
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--bucket", default="s3://asem-project", help="URL or folder")
    parser.add_argument("--cell", default="cell_6")
    parser.add_argument("--container", help="name of the .zarr; by default, that of the cell")
    parser.add_argument("--raw", default="volumes/raw_equalized_0.02")
    parser.add_argument("--model", type=int, default=1841, help="number: asem models list")
    parser.add_argument("--offset", default=[400, 926, 2512], help="voxels", **triple)
    parser.add_argument("--shape", default=[241, 476, 528], help="voxels", **triple)
    parser.add_argument("--voxel-size", default=[5, 5, 5], help="nm", **triple)
    parser.add_argument("--config", type=Path, help="data config, in place of cell and crop")
    parser.add_argument("--min-f1", type=float, default=0, help="fail if F1 is lower")
    return parser.parse_args()


if __name__ == "__main__":
    given = parse_options()
    try:
        f1 = reproduce(given)["f1"]
    except (OSError, ValueError) as error:
        sys.exit(f"reproduce_paper: {error}")
    if f1 is None or f1 < given.min_f1:
        sys.exit(f"reproduce_paper: F1 is {f1}, less than {given.min_f1}")
