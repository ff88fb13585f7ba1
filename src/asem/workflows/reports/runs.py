"""Section of a training run: data, settings, curves with the fit regime, best checkpoint."""

from pathlib import Path
from typing import Any

from asem.blocks.output_nesting import RUN_FILE
from asem.model.checkpoint_info import RunState
from asem.report.figures import encode_png_data_url
from asem.report.loss_curves import plot_loss_curves
from asem.report.page.numbers import (
    NOTHING,
    flatten_settings,
    format_float,
    format_score,
    format_sizes,
    format_value,
)
from asem.report.page.parts import Chart, Column, Facts, Part, Section, Table, Text
from asem.system.json_toml import read_json
from asem.training.fit_regime import MIN_FIT_VALIDATIONS, FitRegime, find_fit_regime_of_run

DATA = ("train", "validation")
"""Settings that list regions."""


def read_run(folder: Path) -> RunState:
    """Read the state of a run; raise ValueError where it is damaged."""
    return RunState.from_dict(read_json(folder / RUN_FILE), source=str(folder / RUN_FILE))


def describe_run_section(name: str, state: RunState) -> Section:
    """Return the section of a run.

    Parameters
    ----------
    name
        Of the run, for people.
    state
        Its state.
    """
    training = state.checkpoint.training or {}
    fit = find_fit_regime_of_run(state.metrics)
    parts: list[Part] = [Text(_summarize(state, fit)), Facts(_list_facts(state, training))]
    if state.metrics:
        parts.append(_draw_curves(state, fit))
        parts.append(_make_metrics_table(state))
    parts += [_make_region_table(training, key) for key in DATA if training.get(key)]
    settings = {key: value for key, value in training.items() if key not in DATA}
    parts.append(Facts(flatten_settings(settings), summary="All settings of the training"))
    return Section(name, parts)


def _summarize(state: RunState, fit: FitRegime | None) -> str:
    planned = (state.checkpoint.training or {}).get("iterations", 0)
    done = "finished" if state.state == "finished" else "is not finished"
    text = f"The training {done}: {state.iteration:,} of {planned:,}"
    text += f" iterations in {format_float(state.seconds / 60, 3)} minutes."
    if fit is None:
        least = 2 * MIN_FIT_VALIDATIONS
        why = f"it needs {least} validations" if len(state.metrics) < least else "no loss is flat"
        return f"{text} There is no fit regime: {why}."
    return f"{text} The fit regime is from iteration {fit.first:,} to {fit.last:,}."


def _list_facts(state: RunState, training: dict[str, Any]) -> list[tuple[str, str]]:
    info, best = state.checkpoint, state.best
    row = next((row for row in state.metrics if row.iteration == best), None)
    scores = "" if row is None or row.f1 is None else f", F1 {format_score(row.f1)}"
    network = info.model.model_dump()
    keys = ("features", "levels", "norm")
    structure = info.structure
    facts = [
        ("structure", structure),
        ("voxel size (z, y, x)", f"{format_sizes(info.voxel_size)} nm"),
        ("best checkpoint", NOTHING if best is None else f"iteration {best:,}{scores}"),
        ("network", ", ".join(f"{key} {network[key]}" for key in keys if key in network)),
        ("loss", str(training.get("loss", NOTHING))),
        ("patch and batch", f"{training.get('patch', '?')} voxels, {training.get('batch', '?')}"),
        ("device", f"{info.device}, precision {info.precision}"),
        ("asem version", info.asem),
    ]
    if info.started_from:
        facts.insert(1, ("started from", info.started_from))
    return facts


def _draw_curves(state: RunState, fit: FitRegime | None) -> Chart:
    figure = plot_loss_curves(
        state.metrics,
        fit_regime=None if fit is None else (fit.first, fit.last),
        best_iteration=state.best,
    )
    first, last = state.metrics[0], state.metrics[-1]
    text = (
        f"Curves of {len(state.metrics)} validations. Training loss from "
        f"{format_float(first.train_loss)} to {format_float(last.train_loss)}"
    )
    if first.validation_loss is not None and last.validation_loss is not None:
        text += f", validation loss from {format_float(first.validation_loss)} to "
        text += format_float(last.validation_loss)
    if first.f1 is not None and last.f1 is not None:
        text += f", F1 from {format_score(first.f1)} to {format_score(last.f1)}"
    text += f". Fit regime: {f'{fit.first:,} to {fit.last:,}' if fit else 'none'}."
    return Chart("Loss and F1 during the training", text, encode_png_data_url(figure))


def _make_metrics_table(state: RunState) -> Table:
    columns = [Column("iteration"), Column("training loss"), Column("validation loss")]
    columns += [
        Column("precision"),
        Column("recall"),
        Column("F1"),
        Column("best", is_number=False),
    ]
    rows = [
        [
            str(row.iteration),
            format_value(row.train_loss),
            *(
                format_value(getattr(row, key))
                for key in ("validation_loss", "precision", "recall")
            ),
            format_value(row.f1),
            "best" if row.iteration == state.best else NOTHING,
        ]
        for row in state.metrics
    ]
    return Table("Validations", columns, rows)


def _make_region_table(training: dict[str, Any], key: str) -> Table:
    names = ("raw", "labels", "roi", "mask", "ids")
    regions = [one for one in training[key] if isinstance(one, dict)]
    used = [name for name in names if any(one.get(name) for one in regions)]
    rows = [[format_value(one.get(name)) for name in used] for one in regions]
    columns = [Column(name.replace("roi", "ROI"), is_number=False) for name in used]
    title = {"train": "Regions of the training", "validation": "Regions of the validation"}[key]
    return Table(title, columns, rows)
