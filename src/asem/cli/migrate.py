"""Command `asem migrate`: configuration files of the published pipeline as TOML files."""

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from asem.cli.options import (
    DEFAULT_OUTPUT,
    Flag,
    OptionalAddress,
    OptionalOutput,
    OutputOptions,
    with_preset_names,
)
from asem.cli.printing import to_json
from asem.cli.streams import escape_control_characters


@with_preset_names
def migrate(
    file: Path,
    /,
    *,
    out: OptionalOutput = None,
    to: Literal["train", "predict"] | None = None,
    validation: Annotated[list[Path] | None, Parameter(negative="")] = None,
    settings: Path | None = None,
    data_folder: OptionalAddress = None,
    structure: str | None = None,
    label_id: int = 1,
    model: Path | None = None,
    overwrite: Flag = False,
    output_options: OutputOptions = DEFAULT_OUTPUT,
) -> None:
    """Convert files of the published pipeline to TOML; list what has no counterpart on stderr.

    Parameters
    ----------
    file
        JSON data config, config_training.yaml or config_prediction.yaml of incasem, or the settings
        (YAML) of gc_segment.
    out
        TOML file to write; by default, it is printed. Paths in it are relative to it.
    to
        Command that reads it: train (default if there are labels), or predict --inputs.
    validation
        JSON data config of the validation; repeat the option for several.
    settings
        config_training.yaml, with the settings of the training of FILE.
    data_folder
        Folder or URL that the paths of data configs are relative to, for instance
        s3://asem-project/datasets; by default that of config_training.yaml, else the folder of
        FILE.
    structure
        Structure: {PRESETS}, or a TOML file; by default the one that the paths of the labels name.
    label_id
        Class of the labels that is the structure, where a dataset has several.
    model
        Converted model (asem models convert) of a prediction.
    overwrite
        Replace the migrated file at OUT.
    """
    from asem.workflows.migrate import MigrationOptions, migrate_file
    from asem.workflows.migration_notes import format_notes

    options = MigrationOptions(
        to, tuple(validation or ()), settings, data_folder, structure, label_id, model
    )
    text, migrated = migrate_file(file, out=out, options=options, overwrite=overwrite)
    if output_options.json:
        notes = [vars(note) for note in migrated.notes]
        result = {"file": out and str(out), "kind": migrated.kind, "toml": text, "notes": notes}
        sys.stdout.write(to_json(result) + "\n")
        return
    for line in format_notes(migrated.notes):
        sys.stderr.write(f"{escape_control_characters(line)}\n")
    sys.stdout.write(f"{out}\n" if out else text)
