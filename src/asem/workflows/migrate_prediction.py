"""Data configs of the published pipeline as a file of `asem predict --inputs`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asem.system.toml_text import TomlTable
from asem.workflows.migrate_data import DataFolders, NamedDataset, read_data_config
from asem.workflows.migrate_roi import RawImages, convert_roi
from asem.workflows.migrate_training import describe_metric_masks
from asem.workflows.migration_notes import MigratedFile, MigrationNote

DEFAULT_MODEL = "model"
"""Path of the converted model where none is given."""
CONTEXT_VOXELS = 47
"""Voxels at each side of a ROI that the published pipeline does not predict."""


def migrate_prediction(
    files: Sequence[Path], folders: DataFolders, *, model: Path | None
) -> MigratedFile:
    """Return the file of images and networks of data configs.

    Parameters
    ----------
    files
        Data configs.
    folders
        Where the data is.
    model
        The converted model, relative to the current folder; None: `DEFAULT_MODEL`.

    Raises
    ------
    OSError, ValueError
        A file cannot be read, or a value cannot be converted; one line.
    """
    images, tables, names = RawImages(), list[TomlTable](), set[str]()
    checkpoint = folders.format_local(model) if model else DEFAULT_MODEL
    notes = [_describe_checkpoint(checkpoint, is_given=model is not None)]
    for file in files:
        datasets, more = read_data_config(file)
        notes += more
        for dataset in datasets:
            name = _free_name(dataset.name, names)
            pair, more = _convert_input(dataset, name, checkpoint, folders, images)
            tables += pair
            notes += more
    return MigratedFile("predict", tuple(tables), tuple(notes))


def _convert_input(
    dataset: NamedDataset, name: str, checkpoint: str, folders: DataFolders, images: RawImages
) -> tuple[list[TomlTable], list[MigrationNote]]:
    content = dataset.content
    raw = folders.locate(content, content.raw)
    roi, notes = convert_roi(dataset, raw, images)
    comments = (dataset.name, *(f"{note.key}: {note.reason}" for note in notes))
    values: dict[str, Any] = {"raw": folders.format(raw)}
    if roi:
        values["roi"] = roi
        reason = f"the published pipeline predicts {CONTEXT_VOXELS} voxels less at each side"
        instead = "asem predicts all of the ROI, and reads the context around it"
        value = [content.offset, content.shape]
        key = f"{dataset.name}.offset, shape"
        notes.append(MigrationNote(key, value, reason, instead, kind="assumption"))
    if content.mask:
        values["mask"] = folders.format(folders.locate(content, content.mask))
    out = f"{name}.zarr/probability"
    notes += [
        MigrationNote(
            f"{dataset.name}.labels.{path}",
            number,
            "a prediction is scored by another command",
            f"asem evaluate {out} {folders.format(folders.locate(content, path))}",
        )
        for path, number in content.labels.items()
    ]
    if content.metric_masks:
        notes.append(describe_metric_masks(dataset, folders))
    model = TomlTable("[[input.model]]", {"checkpoint": checkpoint, "out": out})
    return [TomlTable("[[input]]", values, comments), model], notes


def _describe_checkpoint(checkpoint: str, *, is_given: bool) -> MigrationNote:
    reason = "the checkpoint is no part of a data config"
    instead = f"{'this is' if is_given else '--model sets'} a model of asem models convert"
    return MigrationNote("checkpoint", checkpoint, reason, instead, kind="assumption")


def _free_name(name: str, taken: set[str]) -> str:
    """Return a file name for a dataset that no other one has, and add it to `taken`."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:100] or "prediction"
    number, free = 1, plain
    while free.lower() in taken:
        number += 1
        free = f"{plain}_{number}"
    taken.add(free.lower())
    return free
