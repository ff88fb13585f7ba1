"""Images of a report: what each is, of which images it was made, and which belong together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from asem.volume.address import Address
from asem.volume.formats.detect import open_source_image
from asem.volume.sources import check_metadata, open_levels
from asem.volume.volume import Volume

Role = Literal["raw", "labels", "probability", "segmentation", "instances", "mask"]
ROLES: Mapping[str, Role] = {
    "predict": "probability",
    "segment": "segmentation",
    "instances": "instances",
    "mask": "mask",
}
"""What the images of a command are; those of others are raw or labels, by their kind."""
PREDICTIONS = "predictions"
"""Folder in a cell with a folder for each structure."""


@dataclass(frozen=True)
class ReportImage:
    """An image of a report.

    Parameters
    ----------
    name
        For people.
    address
        Where it is.
    identity
        UUID, or path and times.
    role, structure
        What it is, and of which structure.
    fields
        Format, shape, voxel size, data type and kind.
    made_by
        Provenance; empty where it states none.
    """

    name: str
    address: Address
    identity: str
    role: Role
    structure: str
    fields: dict[str, Any]
    made_by: dict[str, Any]

    @property
    def path(self) -> str:
        """Where it is, the same for all names of it."""
        local = self.address.local_path
        return str(self.address) if local is None else str(local.resolve()) + self.address.dataset

    @property
    def request(self) -> dict[str, Any]:
        """Settings and inputs."""
        request = self.made_by.get("request")
        return request if isinstance(request, dict) else {}

    def open_levels(self) -> tuple[Volume, ...]:
        """Open the pyramid, the finest level first."""
        return open_levels(self.address)


def describe_image(address: Address, name: str) -> ReportImage:
    """Describe an image without reading voxels.

    Raises
    ------
    OSError, ValueError
        It cannot be read.
    """
    image = open_source_image(address)
    check_metadata(image)
    made_by = image.made_by or {}
    role = _find_role(address, made_by, is_labels=image.kind == "labels")
    level = image.levels[0]
    fields = {
        "format": image.format,
        "shape": tuple(level.array.shape),
        "voxel_size": level.voxel_size,
        "dtype": str(getattr(level.array.dtype, "name", level.array.dtype)),
        "levels": len(image.levels),
    }
    structure = _find_structure(address, made_by)
    return ReportImage(name, address, image.identity, role, structure, fields, made_by)


def _find_role(address: Address, made_by: Mapping[str, Any], *, is_labels: bool) -> Role:
    """Return what an image is, by what made it, else by its folder and kind."""
    command = str(made_by.get("command", ""))
    if command in ROLES:
        return ROLES[command]
    if PREDICTIONS in address.location.split("/")[:-1]:
        named = next((role for role in ROLES.values() if role == address.name), None)
        return named or ("segmentation" if is_labels else "probability")
    return "labels" if is_labels else "raw"


def _find_structure(address: Address, made_by: Mapping[str, Any]) -> str:
    """Return the structure of an image: that of its folder, else of its network, else its name."""
    parts = address.location.split("/")
    if PREDICTIONS in parts[:-1]:
        return parts[parts.index(PREDICTIONS) + 1]
    request = made_by.get("request")
    network = request.get("checkpoint") if isinstance(request, dict) else None
    named = network.get("structure") if isinstance(network, dict) else None
    return str(named) if named else address.name


@dataclass(frozen=True)
class Layers:
    """Images of one structure that are drawn together.

    Parameters
    ----------
    structure
        Its name.
    raw, labels, probability, segmentation, instances
        The images, where there are any.
    """

    structure: str
    raw: ReportImage | None = None
    labels: ReportImage | None = None
    probability: ReportImage | None = None
    segmentation: ReportImage | None = None
    instances: ReportImage | None = None

    @property
    def prediction(self) -> ReportImage | None:
        """What is compared with labels: the segmentation, else instances, else the probability."""
        return self.segmentation or self.instances or self.probability


def find_layers(images: Sequence[ReportImage]) -> list[Layers]:
    """Return the structures with a prediction; where there is none, those with labels.

    Of several images of one role and structure, the last that was made is taken.
    """
    groups: dict[str, dict[str, ReportImage]] = {}
    for image in sorted(images, key=lambda one: str(one.made_by.get("finished", ""))):
        if image.role not in ("raw", "mask"):
            groups.setdefault(image.structure, {})[image.role] = image
    predicted = [name for name, group in groups.items() if group.keys() - {"labels"}]
    chosen = sorted(predicted or groups)
    if not chosen and (raw := find_raw(images, None)):
        return [Layers(raw.name, raw)]
    return [
        Layers(name, find_raw(images, groups[name].get("probability")), **groups[name])
        for name in chosen
    ]


def find_raw(images: Sequence[ReportImage], probability: ReportImage | None) -> ReportImage | None:
    """Return the image of which a probability was made; else the one called raw, else the first."""
    source = probability.request.get("raw") if probability else None
    candidates = [image for image in images if image.role == "raw"]
    candidates.sort(key=lambda one: (one.identity != source, one.address.name != "raw"))
    return next(iter(candidates), None)


def find_sources(image: ReportImage, images: Sequence[ReportImage]) -> list[ReportImage]:
    """Return the images whose identity is among the inputs of an image."""
    inputs = {value for value in image.request.values() if isinstance(value, str)}
    return [one for one in images if one.identity in inputs and one is not image]


def sort_by_history(images: Sequence[ReportImage]) -> list[ReportImage]:
    """Return the images so that each one is after those of which it was made."""
    ordered: list[ReportImage] = []
    left = list(images)
    while left:
        ready = [
            image
            for image in left
            if not any(source in left for source in find_sources(image, images))
        ]
        ordered += ready or left  # a circle of damaged provenance ends here
        left = [image for image in left if image not in ordered]
    return ordered
