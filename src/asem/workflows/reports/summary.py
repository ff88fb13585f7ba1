"""The summary of a report: main numbers, sentences in plain words, and what was run when."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from asem import __version__
from asem.measure.pits.table import is_used as is_used_pit
from asem.measure.pores.table import is_used as is_used_pore
from asem.model.checkpoint_info import RunState
from asem.report.page.numbers import format_float, format_fraction, format_score, format_sizes
from asem.report.page.parts import KeyNumber
from asem.workflows.reports.history import format_time
from asem.workflows.reports.images import ReportImage
from asem.workflows.reports.inputs import ReportInputs, ResultsInput
from asem.workflows.reports.sampling import read_coarse
from asem.workflows.reports.scores import Scores, interval_of
from asem.workflows.reports.tables import summarize_tables

PLURALS = {
    "mito": "mitochondria",
    "golgi": "parts of the Golgi apparatus",
    "er": "parts of the endoplasmic reticulum",
    "npc": "nuclear pores",
    "ccp": "coated pits",
}
"""Objects of a structure, for people."""


@dataclass
class Results:
    """What the summary is about.

    Parameters
    ----------
    runs
        Name and state of each run.
    scores
        Each evaluation and its scores, by prediction.
    tables
        The other results and their tables.
    """

    runs: list[tuple[str, RunState]] = field(default_factory=list)
    scores: list[tuple[ResultsInput, Mapping[str, Scores]]] = field(default_factory=list)
    tables: list[tuple[ResultsInput, Mapping[str, pd.DataFrame]]] = field(default_factory=list)


def list_key_numbers(inputs: ReportInputs, results: Results) -> list[KeyNumber]:
    """Return the main numbers: objects and their share of the volume, then scores, then sizes."""
    numbers: list[KeyNumber] = []
    for one, frames in results.tables:
        numbers += _number_objects(one, frames, inputs.images)
    for one, named in results.scores:
        numbers += _number_scores(one, named, inputs.images)
    for name, state in results.runs:
        row = next((row for row in state.metrics if row.iteration == state.best), None)
        if row is not None and row.f1 is not None:
            numbers.append(KeyNumber(f"F1 {format_score(row.f1)}", f"of the validation, {name}"))
    return numbers


def _number_objects(
    one: ResultsInput, frames: Mapping[str, pd.DataFrame], images: Sequence[ReportImage]
) -> Iterator[KeyNumber]:
    """Yield the number of objects and their share, or the median of pores and pits."""
    for name, frame in frames.items():
        if name == "objects" and "volume_um3" in frame and one.command != "evaluate":
            source = next((i for i in images if i.identity == one.request.get("instances")), None)
            structure = source.structure if source else ""
            yield KeyNumber(f"{len(frame):,}", PLURALS.get(structure, f"objects of {one.name}"))
            whole = None if source is None else _find_volume(source, images)
            if whole is not None:
                share = float(frame["volume_um3"].sum()) / whole[0]
                yield KeyNumber(format_fraction(share), f"of the {whole[1]} is in them")
        for table, column, is_used, what in (
            ("pores", "diameter_nm", is_used_pore, "median diameter of nuclear pores"),
            ("pits", "width_nm", is_used_pit, "median width of pits and vesicles"),
        ):
            if name == table and {column, "flags"} <= set(frame):
                used = frame[column][is_used(frame)].to_numpy(np.float64)
                if len(used):
                    median = format_float(float(np.median(used)), 3)
                    yield KeyNumber(f"{median} nm", f"{what} (n\u00a0=\u00a0{len(used):,})")


def _find_volume(instances: ReportImage, images: Sequence[ReportImage]) -> tuple[float, str] | None:
    """Return the volume of the cell in µm³, from a mask of it; else that of the whole image."""
    sizes = instances.fields["voxel_size"]
    if None in sizes:
        return None
    for image in images:
        coarse = read_coarse(image.open_levels()) if image.role == "mask" else None
        if coarse is not None:
            volume, values = coarse
            return float((values != 0).sum() * np.prod(volume.voxel_size)) / 1e9, "cell volume"
    nm3 = float(np.prod(instances.fields["shape"]) * np.prod(sizes))
    return nm3 / 1e9, "imaged volume"


def _number_scores(
    one: ResultsInput, named: Mapping[str, Scores], images: Sequence[ReportImage]
) -> Iterator[KeyNumber]:
    identities = one.request.get("predictions")
    for name, scores in named.items():
        region = "exclusion_zone" if scores.get("exclusion_zone") else "all"
        interval = interval_of(scores, region, "f1")
        identity = identities.get(name) if isinstance(identities, dict) else None
        image = next((i for i in images if i.identity == identity), None)
        of = f" of {name or (image.structure if image else one.name)}"
        where = "outside of the exclusion zone" if region != "all" else "of all voxels"
        yield KeyNumber(f"F1 {format_score(scores[region]['f1'], interval)}", f"{where}{of}")


def list_sentences(inputs: ReportInputs, results: Results) -> list[str]:
    """Return the summary in words."""
    sentences = []
    raw = [image for image in inputs.images if image.role == "raw"]
    for image in raw[:1]:
        sentences.append(_describe_raw(image))
    for name, state in results.runs:
        done = "is finished" if state.state == "finished" else "is not finished"
        sentences.append(
            f"The training {name} of {state.checkpoint.structure} {done} after "
            f"{state.iteration:,} iterations; its best checkpoint is "
            + ("not yet chosen." if state.best is None else f"that of iteration {state.best:,}.")
        )
    for one, named in results.scores:
        structure = inputs.structure_of(one) or one.name
        sentences += [_describe_scores(name or structure, scores) for name, scores in named.items()]
    for one, frames in results.tables:
        sentences += summarize_tables(one, frames)
    return sentences


def _describe_raw(image: ReportImage) -> str:
    sizes, shape = image.fields["voxel_size"], image.fields["shape"]
    voxels = " x ".join(f"{n:,}" for n in shape)
    if None in sizes:
        return f"{image.name} has {voxels} voxels; it states no voxel size."
    extent = [n * size / 1000 for n, size in zip(shape, sizes, strict=True)]
    text = " x ".join(format_float(one, 3) for one in extent)
    return (
        f"{image.name} is {text} µm large (z, y, x): {voxels} voxels of {format_sizes(sizes)} nm."
    )


def _describe_scores(name: str, scores: Scores) -> str:
    region = "exclusion_zone" if scores.get("exclusion_zone") else "all"
    found = scores[region]
    text = (
        f"Scores of {name}: of the foreground voxels of the labels, {_percent(found['recall'])} "
        f"are predicted (recall); of the predicted ones, {_percent(found['precision'])} are right "
        "(precision)"
    )
    text += ", outside of the exclusion zone." if region != "all" else "."
    objects = scores.get("objects")
    if objects:
        at_half = objects["iou_50"]
        text += (
            f" Objects found: {at_half['true_positives']:,} of {objects['truth_objects']:,}; "
            f"predicted where there is none: {at_half['false_positives']:,}."
        )
    return text


def _percent(value: float | None) -> str:
    return "–" if value is None else format_fraction(value)  # noqa: RUF001 - an en dash


def list_header(addresses: Sequence[str], inputs: ReportInputs) -> list[tuple[str, str]]:
    """Return what the report is about, when the newest of it was finished, and the versions."""
    made = [image.made_by for image in inputs.images if image.made_by]
    made += [one.provenance for one in inputs.results if one.provenance]
    times = sorted(str(one["finished"]) for one in made if one.get("finished"))
    versions = sorted({str(one["asem"]) for one in made if one.get("asem")})
    counts = {"run": len(inputs.runs), "image": len(inputs.images), "result": len(inputs.results)}
    found = ", ".join(f"{n} {name}{'s' if n != 1 else ''}" for name, n in counts.items() if n)
    names = (Path(one).resolve().name if one in {".", ".."} else one for one in addresses)
    rows = [("report of", ", ".join(names)), ("found", found)]
    if times:
        rows.append(("inputs finished", _format_span(times)))
    version = f"asem {__version__}"
    if versions and versions != [__version__]:
        version += f"; inputs: {', '.join(versions)}"
    return [*rows, ("version", version)]


def _format_span(times: Sequence[str]) -> str:
    first, last = format_time(times[0]), format_time(times[-1])
    return last if first == last else f"{first} to {last}"
