"""Section of the images: voxel size, shape, and what made each of what, with which settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from asem.report.page.numbers import flatten_settings, format_sizes
from asem.report.page.parts import Column, Part, Section, Step, Steps, Table, Text
from asem.workflows.reports.images import ReportImage, find_sources, sort_by_history

VERBS = {
    "import": "imported",
    "clahe": "local contrast (CLAHE)",
    "predict": "predicted by a network",
    "segment": "thresholded",
    "instances": "objects labelled",
    "mask": "mask of the sample",
    "phantom": "simulated",
    "labels": "labels made",
    "graphcut": "cut from strokes",
}
NETWORK = "checkpoint"
"""Setting of a prediction that describes its network and training."""


def describe_history(images: Sequence[ReportImage]) -> Section:
    """Return the section with a row for each image, and how each was made."""
    ordered = sort_by_history(images)
    titles = ("image", "what it is", "voxels", "voxel size, nm", "data type", "format")
    columns = [Column(title, is_number=False) for title in titles]
    rows = [
        [
            image.name,
            image.role,
            " x ".join(f"{n:,}" for n in image.fields["shape"]),
            format_sizes(image.fields["voxel_size"]),
            image.fields["dtype"],
            image.fields["format"],
        ]
        for image in ordered
    ]
    parts: list[Part] = [Table("Images; sizes along z, y and x", columns, rows)]
    steps = [_describe_step(image, images) for image in ordered if image.made_by]
    if steps:
        parts.append(Text("How each image was made, each after those of which it was made:"))
        parts.append(Steps(steps))
    return Section("Images and how they were made", parts)


def _describe_step(image: ReportImage, images: Sequence[ReportImage]) -> Step:
    command = str(image.made_by.get("command", ""))
    sources = find_sources(image, images)
    of = " and ".join(source.name for source in sources)
    words = VERBS.get(command, "made")
    text = f"{words}{f' from {of}' if of else ''} by asem {command}"
    text += f" {image.made_by.get('asem', '')}, {format_time(image.made_by.get('finished'))}"
    known = [source.identity for source in sources]
    settings = {key: value for key, value in image.request.items() if value not in known}
    network = settings.pop(NETWORK, None)
    if isinstance(network, Mapping):
        settings = _describe_network(network) | settings
    facts = image.made_by.get("facts")
    found = _choose_facts(facts) if isinstance(facts, Mapping) else {}
    return Step(image.name, text, flatten_settings({**settings, **found}))


def _describe_network(network: Mapping[str, Any]) -> dict[str, Any]:
    """Return the main settings of a network; those of its training are with its run."""
    keys = ("iteration", "structure", "voxel_size", "model", "asem", "started_from")
    return {"network": {key: network[key] for key in keys if network.get(key) is not None}}


def _choose_facts(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a command found out, without times and speeds."""
    left_out = ("seconds", "stages", "bottleneck")
    return {key: value for key, value in facts.items() if key not in left_out}


def format_time(text: object) -> str:
    """Return the time at which an output was finished, to the minute.

    Examples
    --------
    >>> format_time("2026-11-28T02:56:27+00:00"), format_time(None)
    ('2026-11-28 02:56 UTC', 'time not stated')
    """
    given = str(text or "")
    if len(given) < len("2026-11-28T02:56") or given[10] != "T":
        return "time not stated"
    zone = " UTC" if given.endswith("+00:00") else ""
    return f"{given[:10]} {given[11:16]}{zone}"
