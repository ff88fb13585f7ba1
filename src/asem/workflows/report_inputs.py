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
from asem.tables import PROVENANCE_FILE
from asem.volume.address import Address, AddressLike
from asem.volume.formats.detect import PLANE_FORMATS
from asem.workflows.container import find_images
from asem.workflows.report_images import ReportImage, describe_image

LOG = logging.getLogger(__name__)
MAX_DEPTH, MAX_FOLDERS, MAX_IMAGES = 5, 1000, 100
"""Limits of the search in a folder."""
TABLE_SUFFIXES = (".parquet", ".csv")
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
        For people.
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

    def structure_of(self, results: ResultsInput) -> str:
        """Return the structure that was scored or measured; empty where its image is not here."""
        request = results.request
        predictions = request.get("predictions")
        named = list(predictions.values()) if isinstance(predictions, dict) else []
        identities = [*named, request.get("instances"), request.get("segmentation")]
        return next((one.structure for one in self.images if one.identity in identities), "")

    def warn(self, message: str) -> None:
        """Log a warning, which is on the page, too."""
        LOG.warning("%s", message)
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
        before = len(found.runs), len(found.images), len(found.results)
        path = address.local_path
        if path is None:
            _add_images(found, address, find_images(address) or [address])
        elif not path.exists() and not address.dataset:
            raise FileNotFoundError(f"there is nothing at {address}")
        elif path.is_file():
            _add_file(found, address, path)
        else:
            _add_folder(found, path)
        if before == (len(found.runs), len(found.images), len(found.results)):
            raise ValueError(f"{address}: nothing to report; this was searched: {REPORTABLE}")
    return found


def _add_file(found: ReportInputs, address: Address, path: Path) -> None:
    """Add a file: a table, a file of a run or of results, or an image."""
    if path.name in (RUN_FILE, PROVENANCE_FILE, "scores.json"):
        _add_folder(found, path.parent)
    elif path.suffix in TABLE_SUFFIXES:
        provenance = read_json_or_empty(path.parent / PROVENANCE_FILE)
        one = ResultsInput(path.name, path.parent, provenance, (path.stem,), is_table=True)
        _add_results(found, one)
    else:
        found.images.append(describe_image(address, str(address)))


def _add_folder(found: ReportInputs, folder: Path) -> None:
    """Add what is in a folder and below."""
    images: list[Address] = []
    for inner in _walk(folder):
        name = _name_in(folder, inner)
        if _is_run(inner):
            found.runs.append((name, inner))
        elif _is_image(inner):
            images.append(Address.parse(inner))
        elif provenance := read_json_or_empty(inner / PROVENANCE_FILE):
            tables = tuple(sorted(path.stem for path in inner.glob("*.parquet")))
            _add_results(found, ResultsInput(name, inner, provenance, tables))
    if not images and not _is_run(folder):
        images = find_images(folder) or [Address.parse(folder)]
    _add_images(found, Address.parse(folder), images)


def _add_results(found: ReportInputs, one: ResultsInput) -> None:
    if not any((o.folder, o.tables) == (one.folder, one.tables) for o in found.results):
        found.results.append(one)


def _add_images(found: ReportInputs, folder: Address, images: Sequence[Address]) -> None:
    """Add the images in a folder, or the folder itself; no stacks of planes in other folders."""
    known = {str(image.address) for image in found.images}
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
        is_stack = image.fields["format"] in stacks
        if str(address) not in known and not (is_stack and not is_named):
            found.images.append(image)


def _is_zarr(address: Address) -> bool:
    return address.local_path is not None and (address.local_path / METADATA_FILE).is_file()


def _walk(folder: Path) -> Iterator[Path]:
    """Yield a folder and those below it, in the order of their depth and name."""
    level, count = [folder], 0
    for _ in range(MAX_DEPTH):
        below: list[Path] = []
        for one in level:
            count += 1
            if count > MAX_FOLDERS:
                LOG.warning("%s has more folders than are searched; name one of them", folder)
                return
            yield one
            if not _is_run(one) and not _is_image(one):
                below += _list_folders(one)
        level = below


def _list_folders(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
        return [e for e in entries if e.is_dir() and not e.is_symlink() and e.name[0] != "."]
    except OSError:  # access is denied
        return []


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
