"""Convert configuration files of the published pipeline and graph-cut tool to TOML files of asem.

::

    data config, .json           labels: asem train          no labels: asem predict --inputs
    config_training.yaml         asem train, with the data configs that it names; also as the
                                 config.json of a run
    config_prediction.yaml       asem predict --inputs, with the data config that it names
    settings of gc_segment       asem graphcut --config
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from asem import __version__
from asem.annotate.graphcut import GraphCutConfig
from asem.blocks.output_nesting import check_output_path
from asem.config import shorten
from asem.system.atomic_rename import rename_no_replace
from asem.system.files import open_regular_file, replace_file
from asem.system.json_toml import MAX_TOML_BYTES
from asem.system.overwrite_policy import OutputKind
from asem.system.toml_text import TomlTable, format_toml
from asem.system.yaml_files import read_yaml
from asem.training.config import TrainConfig
from asem.volume.address import Address
from asem.workflows.migrate_data import (
    MAX_LABEL_ID,
    DataFolders,
    expand_home,
    read_data_config,
    read_json_table,
)
from asem.workflows.migrate_graphcut import is_graphcut_settings, migrate_graphcut
from asem.workflows.migrate_prediction import migrate_prediction
from asem.workflows.migrate_training import TrainingSources, migrate_training
from asem.workflows.migration_notes import MigratedFile, MigrationNote
from asem.workflows.prediction_inputs import PredictionInputs

HEADER = "Migrated from"
"""First words of a migrated file: others are never replaced."""
LAYOUTS = (
    "a JSON data config, config_training.yaml, config_prediction.yaml or settings of gc_segment"
)


@dataclass(frozen=True)
class MigrationOptions:
    """What published files do not state.

    Parameters
    ----------
    target
        Command that reads the result; None: train where there are labels, else predict.
    validation
        Data configs of the validation.
    settings
        ``config_training.yaml`` with the settings of the training; None: the paper's.
    data_folder
        Folder or URL that the paths of data configs are relative to; None: the one in the settings,
        else that of the file.
    structure
        Preset or TOML file of the structure; None: from the paths of the labels.
    label_id
        Class that is the structure, where a dataset has several.
    model
        Converted model of a prediction.
    """

    target: Literal["train", "predict"] | None = None
    validation: tuple[Path, ...] = ()
    settings: Path | None = None
    data_folder: Address | None = None
    structure: str | None = None
    label_id: int = 1
    model: Path | None = None


DEFAULT_OPTIONS = MigrationOptions()


def migrate_file(
    file: Path,
    *,
    out: Path | None = None,
    options: MigrationOptions = DEFAULT_OPTIONS,
    overwrite: bool = False,
) -> tuple[str, MigratedFile]:
    """Convert a published configuration file.

    Parameters
    ----------
    file
        The published file.
    out
        TOML file to write; None: nothing is written.
    options
        What the file does not state.
    overwrite
        Replace a migrated file at `out`.

    Returns
    -------
    tuple
        Text of the TOML file, whose local paths are relative to `out`, or to the current folder;
        and its content, with what has no counterpart.

    Raises
    ------
    FileExistsError, OSError
        `out` exists, or a file cannot be read or written.
    ValueError
        The layout is not one of the published ones, a key is missing or out of range, or the
        result would be no valid file of asem; one line. Nothing is written.
    """
    if not 1 <= options.label_id <= MAX_LABEL_ID:
        raise ValueError(f"--label-id {shorten(options.label_id)}: classes are 1 to {MAX_LABEL_ID}")
    if out is not None:
        _check_destination(out, overwrite=overwrite)
    base = (out.resolve().parent if out else Path.cwd()).resolve()
    migrated = _migrate(file, base, options)
    header = TomlTable("", {}, (f"{HEADER} {file.name} by asem {__version__}.", _PATHS))
    text = format_toml([header, *migrated.tables])
    _validate(text, migrated.kind, out or base / "migrated.toml", file)
    if out is not None:
        _write(out, text, overwrite=overwrite)
    return text, migrated


_PATHS = "Local paths are relative to this file."


def _migrate(file: Path, base: Path, options: MigrationOptions) -> MigratedFile:
    content = _read_table(file)
    if is_graphcut_settings(content):
        return migrate_graphcut(content, file)
    if file.suffix.lower() == ".json" and not _is_settings(content):
        settings_file, data, validation = options.settings, [file], list(options.validation)
        settings = _read_table(settings_file) if settings_file else {}
    else:
        settings_file, settings = file, content
        data, validation = _data_configs(settings, file, options)
    folders, notes = _locate_data(file, settings, base, options)
    if _target_of(data, settings, options) == "predict":
        migrated = migrate_prediction(data, folders, model=options.model)
    else:
        if options.model is not None:
            raise ValueError("--model is for predictions; with labels, add --to predict")
        sources = TrainingSources(
            data, validation, settings_file, settings, _structure(options, base), options.label_id
        )
        migrated = migrate_training(sources, folders)
    return MigratedFile(migrated.kind, migrated.tables, (*notes, *migrated.notes))


def _read_table(file: Path) -> dict[str, Any]:
    if file.suffix.lower() == ".json":
        return read_json_table(file)
    if file.suffix.lower() in (".yaml", ".yml"):
        return read_yaml(file)
    raise ValueError(f"{file} has another suffix than .json or .yaml; give {LAYOUTS}")


def _is_settings(content: Mapping[str, Any]) -> bool:
    """Return whether a table has settings, as in the config.json of a run, and no datasets."""
    tables = [content.get(name) for name in ("training", "prediction")]
    return any(isinstance(table, Mapping) and "file" not in table for table in tables)


def _structure(options: MigrationOptions, base: Path) -> str | None:
    """Return the structure as the training file has it: a preset, or the path of its TOML file."""
    name = options.structure
    if name is None or not name.endswith(".toml"):
        return name
    return DataFolders(Address(str(base)), base).format_local(Path(name))


def _data_configs(
    settings: Mapping[str, Any], file: Path, options: MigrationOptions
) -> tuple[list[Path], list[Path]]:
    """Return the data configs that a settings file names, and those of the validation."""
    table = next((name for name in ("training", "prediction") if name in settings), None)
    if table is None:
        raise ValueError(f"{file} is no published configuration file; give {LAYOUTS}")
    data = _listed_files(settings, table, file)
    if not data:
        raise ValueError(
            f"{file}: '{table}.data' names no data config; run: asem migrate DATA.json"
            + (f" --settings {file}" if table == "training" else "")
        )
    return data, [*_listed_files(settings, "validation", file), *options.validation]


def _listed_files(settings: Mapping[str, Any], table: str, file: Path) -> list[Path]:
    content = settings.get(table)
    names = content.get("data") if isinstance(content, Mapping) else None
    if names is None:
        return []
    if not isinstance(names, str):
        raise ValueError(f"{file}: '{table}.data' is {shorten(names)}; paths of JSON files, a,b")
    return [file.parent / expand_home(Path(name.strip())) for name in names.split(",")]


def _locate_data(
    file: Path, settings: Mapping[str, Any], base: Path, options: MigrationOptions
) -> tuple[DataFolders, list[MigrationNote]]:
    """Return where the data is, and the assumption about it."""
    if options.data_folder is not None:
        return DataFolders(options.data_folder, base), []
    directories = settings.get("directories")
    stated = directories.get("data") if isinstance(directories, Mapping) else None
    if isinstance(stated, str):
        return DataFolders(_parse_folder(stated, file), base), []
    reason = "paths of a data config are relative to a folder that it does not state"
    instead = "that of the file is assumed; --data-folder sets it"
    note = MigrationNote("file", str(file.parent), reason, instead, kind="assumption")
    return DataFolders(Address(str(file.parent)), base), [note]


def _parse_folder(text: str, file: Path) -> Address:
    """Return the folder or URL that a settings file states; ``~`` is the home folder."""
    try:
        address = Address.parse(text)
        return address if address.is_remote else Address(str(expand_home(address.path)))
    except ValueError as error:
        raise ValueError(f"{file}: 'directories.data': {error}") from error


def _target_of(
    data: Sequence[Path], settings: Mapping[str, Any], options: MigrationOptions
) -> Literal["train", "predict"]:
    if options.target is not None:
        return options.target
    if "prediction" in settings:
        return "predict"
    datasets = [dataset for file in data for dataset in read_data_config(file)[0]]
    has_labels = any(dataset.content.labels for dataset in datasets)
    return "train" if has_labels or "training" in settings else "predict"


def _validate(text: str, kind: str, path: Path, file: Path) -> None:
    """Raise ValueError where the command would refuse the file."""
    source = f"{file}, migrated"
    try:
        content = tomllib.loads(text)
        if kind == "train":
            TrainConfig.from_settings(content, path)
        elif kind == "predict":
            PredictionInputs.from_dict(content, source=source)
        else:
            GraphCutConfig.from_dict(content, source=source)
    except ValueError as error:
        raise ValueError(str(error).replace(f"{path}:", f"{source}:")) from error


def _check_destination(out: Path, *, overwrite: bool) -> None:
    """Raise FileExistsError where `out` may not be written."""
    if out.suffix != ".toml":
        raise ValueError(f"--out {out}: give a name that ends in .toml")
    check_output_path(out)
    MIGRATED_FILE.check_replaceable(out, overwrite=overwrite)


def _find_foreign(path: Path) -> Path | None:
    """Return ``Path()`` where a path is no migrated file."""
    if not path.is_file():
        return Path()
    with open_regular_file(path) as existing:
        first = existing.readline(MAX_TOML_BYTES)
    return None if first.startswith(f"# {HEADER}".encode()) else Path()


MIGRATED_FILE = OutputKind("a migrated file", _find_foreign, is_file=True)


def _write(out: Path, text: str, *, overwrite: bool) -> None:
    def publish(partial: Path) -> None:
        if overwrite:
            _check_destination(out, overwrite=True)
            partial.replace(out)
        else:
            rename_no_replace(partial, out)

    with replace_file(out, publish) as file:
        file.write(text.encode())
