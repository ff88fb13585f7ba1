"""Read data configs of the published pipeline (JSON), and locate their datasets.

::

    {"NAME": {"file": "cell_1/cell_1.zarr",            below the folder of the data
              "raw": "volumes/raw_equalized_0.02",     below file, as all arrays
              "labels": {"volumes/labels/er": 1},      array: class, 1, 2, ...
              "mask": "volumes/mask",                  not 0: inside of the specimen
              "metric_masks": ["volumes/metric_masks/er"],   not 0 in all: scored
              "offset": [150, 120, 1295],              corner of the ROI / voxel size, in the world
              "shape": [600, 590, 1350],               voxels
              "voxel_size": [5, 5, 5]}}                nm

All lists are along (z, y, x).
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, field_validator

from asem.config import MAX_POSITION_NM, Config, VoxelSize, shorten
from asem.structures import PRESETS
from asem.system.files import open_regular_file
from asem.system.json_toml import MAX_TOML_BYTES, parse_json
from asem.volume.address import Address
from asem.workflows.migration_notes import MigrationNote

MAX_DATASETS = 10_000
MAX_LABEL_ID = 10_000
"""Largest class of a dataset; the published networks have one, besides background."""
MAX_VOXELS = 10**7
"""Largest edge of a ROI; the longest stack of the paper has 10,000 planes."""
ArrayPath = Annotated[str, Field(max_length=4096, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""Text without control characters."""
Voxels = Annotated[int, Field(ge=1, le=MAX_VOXELS)]
Position = Annotated[int, Field(ge=-int(MAX_POSITION_NM), le=int(MAX_POSITION_NM))]
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class PublishedDataset(Config):
    """One dataset of a data config, as it is written."""

    file: ArrayPath
    raw: ArrayPath
    voxel_size: VoxelSize
    offset: tuple[Position, Position, Position] | None = None
    shape: tuple[Voxels, Voxels, Voxels] | None = None
    labels: dict[ArrayPath, Annotated[int, Field(ge=1, le=MAX_LABEL_ID)]] = Field(
        default_factory=dict
    )
    mask: ArrayPath | None = None
    metric_masks: tuple[ArrayPath, ...] = ()

    @field_validator("labels")
    @classmethod
    def _check_classes(cls, labels: dict[str, int]) -> dict[str, int]:
        if len(set(labels.values())) < len(labels):
            raise ValueError("two arrays have the same class; merge them, or give them two classes")
        return labels


@dataclass(frozen=True)
class NamedDataset:
    """A dataset, and its name in the file."""

    name: str
    content: PublishedDataset

    @cached_property
    def structures(self) -> dict[str, int]:
        """Presets that the paths of the labels name, and the class of each."""
        found: dict[str, int] = {}
        for path, label_id in self.content.labels.items():
            parts = [part.lower() for part in path.split("/")]
            found |= {part: label_id for part in parts if part in PRESETS}
        return found


def read_data_config(file: Path) -> tuple[list[NamedDataset], list[MigrationNote]]:
    """Read the datasets of a data config, and the keys that asem has no counterpart of.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not JSON, has another layout, or a key is missing or out of range; one line.
    """
    table = read_json_table(file)
    if not table:
        raise ValueError(f"{file} lists no dataset")
    if not all(isinstance(value, dict) for value in table.values()):
        raise ValueError(
            f"{file} is not a data config of the published pipeline, in which each name has a "
            f"table with {', '.join(PublishedDataset.model_fields)}"
        )
    if len(table) > MAX_DATASETS:
        raise ValueError(f"{file} lists {len(table)} datasets; at most {MAX_DATASETS} are read")
    datasets, notes = [], []
    for name, content in table.items():
        known = {key: content[key] for key in content if key in PublishedDataset.model_fields}
        source = f"{file}, dataset {shorten(name)}"
        datasets.append(NamedDataset(name, PublishedDataset.from_dict(known, source=source)))
        notes += [
            MigrationNote(f"{name}.{key}", value, "it is no key of a data config", "it is left out")
            for key, value in content.items()
            if key not in known
        ]
    return datasets, notes


def read_json_table(file: Path) -> dict[str, Any]:
    """Read a JSON table of bounded size; raise ValueError of one line where it is none."""
    with open_regular_file(file) as opened:
        text = opened.read(MAX_TOML_BYTES + 1)
    if len(text) > MAX_TOML_BYTES:
        raise ValueError(f"{file} has more than {MAX_TOML_BYTES >> 20} MiB, too much for settings")
    try:
        table = parse_json(text, source=str(file))
    except ValueError as error:
        reason = error.__cause__
        detail = "it is nested too deeply" if isinstance(reason, RecursionError) else reason
        raise ValueError(f"{file} is not JSON: {detail}") from error
    if not isinstance(table, dict):
        raise ValueError(f"{file} holds no table of datasets")
    return table


def check_voxel_sizes(file: Path, datasets: Sequence[NamedDataset]) -> None:
    """Raise ValueError where the datasets have different voxel sizes."""
    sizes = {dataset.content.voxel_size: dataset.name for dataset in datasets}
    if len(sizes) > 1:
        listed = "; ".join(f"{name}: {list(size)}" for size, name in list(sizes.items())[:3])
        raise ValueError(f"{file}: the datasets have different voxel sizes ({listed})")


def expand_home(path: Path) -> Path:
    """Return a path with ``~`` replaced; raise ValueError where the user has no home folder."""
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: there is no such user; give the path without ~") from error


@dataclass(frozen=True)
class DataFolders:
    """Where the published files are, and how the migrated file names them.

    Parameters
    ----------
    data
        Folder or URL that `file` of a dataset is relative to.
    base
        Folder that local paths in the migrated file are relative to.
    """

    data: Address
    base: Path

    def locate(self, dataset: PublishedDataset, array: str) -> Address:
        """Return the address of an array of a dataset."""
        inner = [part for part in array.split("/") if part not in ("", ".")]
        if _URL.match(dataset.file):
            container = Address.parse(dataset.file)
        elif self.data.is_remote:
            container = Address.parse(str(self.data.join(dataset.file.strip("/"))))
        else:
            path = self.data.path.absolute() / expand_home(Path(dataset.file))
            container = Address(os.path.normpath(path))
        return container.join(*inner)

    def format(self, address: Address) -> str:
        """Return an address as the migrated file has it: a relative path, or a URL."""
        return str(address) if address.is_remote else self.format_local(address.path)

    def format_local(self, path: Path) -> str:
        """Return a local path relative to the folder of the migrated file."""
        return os.path.relpath(path, self.base)
