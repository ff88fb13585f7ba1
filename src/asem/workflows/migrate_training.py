"""Data configs of the published pipeline as a training file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asem.config import NmZYX, shorten
from asem.structures import find_preset, preset_names
from asem.system.toml_text import TomlTable
from asem.workflows.migrate_data import (
    DataFolders,
    NamedDataset,
    check_voxel_sizes,
    read_data_config,
)
from asem.workflows.migrate_roi import RawImages, convert_roi
from asem.workflows.migrate_settings import convert_settings
from asem.workflows.migration_notes import MigratedFile, MigrationNote

LABEL_VALUES = (
    "all values but 0 are the structure in the published pipeline; in asem the maximum of an "
    "integer type, such as 255, is unlabelled"
)
CHECK_LABELS = "asem info LABELS --count lists the values"
WITHOUT_LABELS = "the published pipeline takes a dataset without labels as background"


@dataclass(frozen=True)
class TrainingSources:
    """Published files of a training.

    Parameters
    ----------
    train, validation
        Data configs.
    settings_file
        ``config_training.yaml``, for messages; None: the settings are the paper's.
    settings
        Its content.
    structure
        Preset or TOML file of the structure; None: the one that the paths of the labels name.
    label_id
        Class that is the structure, where a dataset has several.
    """

    train: Sequence[Path]
    validation: Sequence[Path] = ()
    settings_file: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    structure: str | None = None
    label_id: int = 1


def migrate_training(sources: TrainingSources, folders: DataFolders) -> MigratedFile:
    """Return the training file of data configs.

    Raises
    ------
    OSError, ValueError
        A file cannot be read, or a value cannot be converted; one line.
    """
    images, notes, regions = RawImages(), [], []
    listed: list[NamedDataset] = []
    for name, files in (("train", sources.train), ("validation", sources.validation)):
        for file in files:
            datasets, more = read_data_config(file)
            check_voxel_sizes(file, [*listed[:1], *datasets])
            listed += datasets
            notes += more
            for dataset in datasets:
                table, more = _convert_region(name, dataset, sources.label_id, folders, images)
                regions += [table] if table else []
                notes += more
    if not any(table.header == "[[train]]" for table in regions):
        raise ValueError(
            f"{sources.train[0]}: no dataset has labels of the class {sources.label_id}"
        )
    size = listed[0].content.voxel_size
    structure = sources.structure or _find_structure(listed, sources)
    key, value = f"{listed[0].name}.labels", listed[0].content.labels
    notes.append(MigrationNote(key, value, LABEL_VALUES, CHECK_LABELS, kind="assumption"))
    settings = _make_settings(structure, size, sources, notes)
    return MigratedFile("train", (*settings, *regions), tuple(notes))


def _make_settings(
    structure: str, size: NmZYX, sources: TrainingSources, notes: list[MigrationNote]
) -> list[TomlTable]:
    """Return the tables before the regions; extend `notes`."""
    values: dict[str, Any] = {}
    if sources.settings_file is not None:
        values, more = convert_settings(sources.settings, size, sources.settings_file)
        notes += more
    else:
        reason = "settings of the training are in another published file"
        instead = 'those of the recipe "paper" apply; --settings config_training.yaml converts them'
        notes.append(MigrationNote("settings", None, reason, instead, kind="assumption"))
    top = {"recipe": "paper", "structure": structure, "voxel_size": list(size)}
    tables: dict[str, dict[str, Any]] = {}
    for dotted, value in values.items():
        table, _, key = dotted.rpartition(".")
        (tables.setdefault(table, {}) if table else top)[key] = value
    return [TomlTable("", top), *(TomlTable(f"[{name}]", keys) for name, keys in tables.items())]


def _convert_region(
    header: str, dataset: NamedDataset, label_id: int, folders: DataFolders, images: RawImages
) -> tuple[TomlTable | None, list[MigrationNote]]:
    """Return a region of a training file; None where the dataset has no labels of the class."""
    content, notes = dataset.content, list[MigrationNote]()
    others = {path: number for path, number in content.labels.items() if number != label_id}
    notes += [
        MigrationNote(
            f"{dataset.name}.labels.{path}",
            number,
            f"a network is of one structure, here of the class {label_id}",
            f"--label-id {number} writes the training file of this one",
        )
        for path, number in others.items()
    ]
    chosen = next((path for path, number in content.labels.items() if number == label_id), None)
    if chosen is None:
        if not others:
            instead = "it is left out; make an image of labels that are all 0"
            notes.append(MigrationNote(dataset.name, content.raw, WITHOUT_LABELS, instead))
        return None, notes
    raw = folders.locate(content, content.raw)
    roi, more = convert_roi(dataset, raw, images)
    notes += more
    comments = [dataset.name, *(f"{note.key}: {note.reason}" for note in more)]
    comments += [
        f'other class, {number}: labels = "{folders.format(folders.locate(content, path))}"'
        for path, number in others.items()
    ]
    if content.metric_masks:
        notes.append(describe_metric_masks(dataset, folders))
        located = (folders.format(folders.locate(content, one)) for one in content.metric_masks)
        comments += [f"metric mask, for asem evaluate --mask: {path}" for path in located]
    values = {"raw": raw, "labels": folders.locate(content, chosen)}
    if content.mask:
        values["mask"] = folders.locate(content, content.mask)
    table: dict[str, Any] = {key: folders.format(address) for key, address in values.items()}
    if roi:
        table["roi"] = roi
    return TomlTable(f"[[{header}]]", table, tuple(comments)), notes


def describe_metric_masks(dataset: NamedDataset, folders: DataFolders) -> MigrationNote:
    """Return the note about masks of the voxels that are scored."""
    content = dataset.content
    several = len(content.metric_masks) > 1
    first = folders.format(folders.locate(content, content.metric_masks[0]))
    return MigrationNote(
        f"{dataset.name}.metric_masks",
        list(content.metric_masks),
        "scores leave out the exclusion zone, which asem computes from the labels (structure)",
        f"asem evaluate --mask {first} scores with the published mask"
        + (", one of several: the published pipeline scores where all are not 0" * several),
    )


def _find_structure(datasets: Sequence[NamedDataset], sources: TrainingSources) -> str:
    """Return the preset that the paths of the labels name."""
    found = {
        name
        for dataset in datasets
        for name, label_id in dataset.structures.items()
        if label_id == sources.label_id
    }
    if len(found) == 1:
        return find_preset(found.pop()).name
    paths = {path for dataset in datasets for path in dataset.content.labels}
    names = ", ".join(sorted(found)) or "none"
    raise ValueError(
        f"{sources.train[0]}: the paths of the labels ({shorten(', '.join(sorted(paths)), str)}) "
        f"name {names} of the structures {preset_names()}; give --structure"
    )
