"""Find what a report is about: training runs, images, results folders and tables.

::

    PATH                                 found
    run.json in a folder                 a training run
    provenance.json in a folder          results of evaluate, measure, pores or pits
    NAME.parquet, NAME.csv               a table
    an image, or a folder with images    images, with what made each
    any other folder                     all of these in it, also in folders below

A folder is searched as `asem info` searches a container: to a depth, without links, without the
insides of images and runs.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asem.blocks.output_nesting import METADATA_FILE, RUN_FILE, read_json_or_empty
from asem.tables import PROVENANCE_FILE, TABLE_SUFFIXES
from asem.volume.address import Address, AddressLike
from asem.volume.formats.detect import PLANE_FORMATS
from asem.volume.ngff import UNFINISHED
from asem.workflows.container import find_images
from asem.workflows.evaluation_results import SCORES_FILE
from asem.workflows.reports.images import ReportImage, describe_image

LOG = logging.getLogger(__name__)
MAX_DEPTH, MAX_FOLDERS, MAX_IMAGES = 5, 1000, 100
"""Limits of the search in a folder: folders below it, folders read, images shown."""
REPORTABLE = (
    "a training run (run.json), images (cell.zarr), results of asem evaluate, measure, pores or "
    "pits (provenance.json), or a table (.parquet, .csv)"
)
"""What is searched, for messages."""


@dataclass(frozen=True)
class ResultsInput:
    """A folder of results, or tables of one.

    Parameters
    ----------
    name
        For people; of a single table, that of its file.
    folder
        The folder.
    provenance
        Content of ``provenance.json``; empty where there is none.
    tables
        Names of the tables to report, without suffix.
    is_table
        Whether a single table was named, which is reported without the other results.
    """

    name: str
    folder: Path
    provenance: dict[str, Any]
    tables: tuple[str, ...]
    is_table: bool = False

    @property
    def file(self) -> Path:
        """The single table that was named."""
        return self.folder / self.name

    @property
    def key(self) -> tuple[Path, tuple[str, ...]]:
        """Equal for equal results."""
        return self.folder.resolve(), self.tables

    @property
    def command(self) -> str:
        """The command that made it; empty: not stated."""
        return str(self.provenance.get("command", ""))

    @property
    def request(self) -> dict[str, Any]:
        """Settings and inputs."""
        request = self.provenance.get("request")
        return request if isinstance(request, dict) else {}


@dataclass
class ReportInputs:
    """All that was found.

    Parameters
    ----------
    runs
        Name and folder of each training run.
    images
        The images.
    results
        Folders of results.
    warnings
        What could not be read.
    """

    runs: list[tuple[str, Path]] = field(default_factory=list)
    images: list[ReportImage] = field(default_factory=list)
    results: list[ResultsInput] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was found."""
        return not (self.runs or self.images or self.results)

    def add(self, other: "ReportInputs") -> None:
        """Add what is not among the inputs yet."""
        runs = {folder.resolve() for _, folder in self.runs}
        self.runs += [run for run in other.runs if run[1].resolve() not in runs]
        images = {image.path for image in self.images}
        self.images += [image for image in other.images if image.path not in images]
        tables = {one.key for one in self.results}
        self.results += [one for one in other.results if one.key not in tables]
        self.warnings += other.warnings

    def structure_of(self, results: ResultsInput) -> str:
        """Return the structure that was scored or measured; empty where its image is not here."""
        request = results.request
        predictions = request.get("predictions")
        named = list(predictions.values()) if isinstance(predictions, dict) else []
        identities = [*named, request.get("instances"), request.get("segmentation")]
        return next((one.structure for one in self.images if one.identity in identities), "")

    def warn(self, message: str) -> None:
        """Add a warning, which is on the page and logged."""
        if message not in self.warnings:
            self.warnings.append(message)


def find_inputs(addresses: Sequence[AddressLike]) -> ReportInputs:
    """Find what is at addresses; each is found once.

    Raises
    ------
    FileNotFoundError
        Nothing exists at an address.
    OSError, ValueError
        An address is none of these, or cannot be read.
    """
    found = ReportInputs()
    for given in addresses:
        address = Address.parse(given)
        one = _find_at(address)
        if one.is_empty:
            raise ValueError(f"{address}: nothing to report; this was searched: {REPORTABLE}")
        found.add(one)
    return found


def _find_at(address: Address) -> ReportInputs:
    """Find what is at one address."""
    path = address.local_path
    if path is None:
        found = ReportInputs()
        _add_images(found, address, find_images(address) or [address])
        return found
    if not path.exists() and not address.dataset:
        raise FileNotFoundError(f"there is nothing at {address}")
    return _find_in_file(address, path) if path.is_file() else _find_in_folder(path)


def _find_in_file(address: Address, path: Path) -> ReportInputs:
    """Return what a file is: a table, a file of a run or of results, or an image."""
    if path.name in (RUN_FILE, PROVENANCE_FILE, SCORES_FILE):
        return _find_in_folder(path.parent)
    if path.suffix.lower() in TABLE_SUFFIXES:
        provenance = read_json_or_empty(path.parent / PROVENANCE_FILE)
        tables = (path.stem,)
        one = ResultsInput(path.name, path.parent, provenance, tables, is_table=True)
        return ReportInputs(results=[one])
    return ReportInputs(images=[describe_image(address, str(address))])


def _find_in_folder(folder: Path) -> ReportInputs:
    """Return what is in a folder and below."""
    found, images = ReportInputs(), list[Address]()
    for inner in _walk(folder):
        name = _name_in(folder, inner)
        if _is_run(inner):
            found.runs.append((name, inner))
        elif inner != folder and _is_unfinished(inner):
            found.warn(f"{inner} is unfinished and left out")
        elif _is_image(inner):
            images.append(Address.parse(inner))
        elif provenance := read_json_or_empty(inner / PROVENANCE_FILE):
            tables = tuple(sorted(path.stem for path in inner.glob("*.parquet")))
            found.results.append(ResultsInput(name, inner, provenance, tables))
    address = Address.parse(folder)
    if not images and not _is_run(folder):
        images = find_images(address)  # in other formats
    _add_images(found, address, images or [address] * found.is_empty)
    return found


def _add_images(found: ReportInputs, folder: Address, images: Sequence[Address]) -> None:
    """Add the images in a folder, or the folder itself; no stacks of planes in other folders."""
    stacks = {file_format.name for file_format in PLANE_FORMATS}
    if len(images) > MAX_IMAGES:
        found.warn(f"{folder}: {MAX_IMAGES} of {len(images)} images are in this report")
    for address in images[:MAX_IMAGES]:
        is_named = address == folder
        name = str(address) if is_named else str(address).removeprefix(f"{folder}/")
        try:
            image = describe_image(address, name)
        except (OSError, ValueError) as error:
            if is_named and (address.is_remote or _is_zarr(address)):
                raise
            if _is_zarr(address):
                found.warn(f"{address} cannot be read: {error}")
            continue
        if is_named or image.fields["format"] not in stacks:
            found.images.append(image)


def _is_zarr(address: Address) -> bool:
    return address.local_path is not None and (address.local_path / METADATA_FILE).is_file()


def _walk(folder: Path) -> Iterator[Path]:
    """Yield a folder and those below it, in the order of their depth and name."""
    level, count = [folder], 0
    for _ in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for one in level:
            count += 1
            if count > MAX_FOLDERS:
                LOG.warning("%s has more folders than are searched; name one of them", folder)
                return
            yield one
            is_searched = one == folder or not _is_unfinished(one)
            if is_searched and not _is_run(one) and not _is_image(one):
                below += _list_folders(one)
        level = below


def _list_folders(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
        return [e for e in entries if e.is_dir() and not e.is_symlink() and e.name[0] != "."]
    except OSError:  # access is denied
        return []


def _is_unfinished(folder: Path) -> bool:
    return (folder / UNFINISHED).exists()


def _is_run(folder: Path) -> bool:
    return (folder / RUN_FILE).is_file()


def _is_image(folder: Path) -> bool:
    zarr = read_json_or_empty(folder / METADATA_FILE)
    attributes = zarr.get("attributes")
    ome = attributes.get("ome") if isinstance(attributes, dict) else None
    return zarr.get("node_type") == "array" or (isinstance(ome, dict) and "multiscales" in ome)


def _name_in(folder: Path, inner: Path) -> str:
    relative = inner.relative_to(folder)
    return folder.resolve().name if relative == Path() else str(relative)
