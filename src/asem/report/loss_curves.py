"""Figure of the metrics of a training: loss and F1 over the iterations."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D

from asem.model.run_metrics import MetricsRow, ValidationScores

TRAINING_COLOUR, VALIDATION_COLOUR, FIT_COLOUR = "#ff7f2a", "#00a5e3", "#e8f3dc"
REGION_COLOURS = (
    *("#332288", "#117733", "#cc6677", "#999933"),
    *("#882255", "#44aa99", "#aa4499", "#666666"),
)
"""Of single regions; of more regions than colours all are `OTHER_COLOUR`, without their names."""
OTHER_COLOUR = "0.7"
MAX_LABEL = 45
"""Characters of a name in the legend."""
LEGEND_COLUMNS = 2
LEGEND_ROW_INCHES = 0.17
Curve = dict[int, ValidationScores]
"""Scores by iteration."""


def plot_loss_curves(
    rows: Sequence[MetricsRow],
    *,
    fit_regime: tuple[int, int] | None = None,
    best_iteration: int | None = None,
) -> Figure:
    """Plot training and validation loss, and F1, over the iterations.

    The pooled scores are a thick curve. If there are several validation regions, each has a thin
    one, with its name in the legend below if there are at most as many as `REGION_COLOURS`.

    Parameters
    ----------
    rows
        The metrics of a run; F1 and validation loss may be None.
    fit_regime
        First and last iteration of the fit regime, shaded in the plot.
    best_iteration
        Iteration of the best checkpoint, a dashed line in the plot.
    """
    pooled: Curve = {row.iteration: row for row in rows}
    regions = _split_by_region(rows)
    legend_rows = -(-len(regions) // LEGEND_COLUMNS) if len(regions) <= len(REGION_COLOURS) else 1
    figure = Figure(
        figsize=(7, 3.2 + LEGEND_ROW_INCHES * legend_rows), dpi=120, layout="constrained"
    )
    left, right = figure.subplots(1, 2)
    losses = [(row.iteration, row.train_loss) for row in rows]
    _plot_points(left, losses, TRAINING_COLOUR, label="training", width=1.5)
    name = "validation, pooled" if regions else "validation"
    for axes, key in ((left, "validation_loss"), (right, "f1")):
        width = 2.5 if regions else 1.5
        _plot_scores(axes, pooled, key, VALIDATION_COLOUR, label=name, width=width)
        for number, curve in enumerate(regions.values()):
            _plot_scores(axes, curve, key, _region_colour(number, len(regions)), width=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        if fit_regime is not None:
            axes.axvspan(*fit_regime, color=FIT_COLOUR, zorder=0, label="fit regime")
        if best_iteration is not None:
            axes.axvline(best_iteration, color="0.4", linewidth=1, linestyle="--", label="best")
    left.set(xlabel="iteration", ylabel="loss", yscale="log")
    right.set(xlabel="iteration", ylabel="F1 outside the exclusion zone", ylim=(0, 1))
    left.legend(frameon=False, fontsize=8)
    _add_region_legend(figure, list(regions))
    return figure


def _split_by_region(rows: Sequence[MetricsRow]) -> dict[str, Curve]:
    """Return the curve of each region; none of a single region, which equals the pooled one."""
    curves: dict[str, Curve] = {}
    for row in rows:
        for scores in row.regions:
            curves.setdefault(scores.region, {})[row.iteration] = scores
    return curves if len(curves) > 1 else {}


def _region_colour(number: int, count: int) -> str:
    return REGION_COLOURS[number] if count <= len(REGION_COLOURS) else OTHER_COLOUR


def _plot_scores(
    axes: Axes, curve: Curve, key: str, colour: str, *, width: float, label: str | None = None
) -> None:
    scores = ((iteration, getattr(scores, key)) for iteration, scores in curve.items())
    points = [(iteration, value) for iteration, value in scores if value is not None]
    _plot_points(axes, points, colour, width=width, label=label)


def _plot_points(
    axes: Axes,
    points: Sequence[tuple[int, float]],
    colour: str,
    *,
    width: float,
    label: str | None = None,
) -> None:
    if points:
        x, y = zip(*points, strict=True)
        axes.plot(
            x,
            y,
            color=colour,
            label=label,
            linewidth=width,
            marker="o",
            markersize=min(3, 2 * width),
        )


def _add_region_legend(figure: Figure, names: Sequence[str]) -> None:
    """Add a legend of the curves of regions below the plots."""
    if not names:
        return
    many = len(names) > len(REGION_COLOURS)
    labels = [f"each of {len(names)} regions"] if many else list(map(_shorten_label, names))
    handles = [
        Line2D([], [], color=_region_colour(number, len(names)), linewidth=0.8)
        for number in range(len(labels))
    ]
    legend = figure.legend(
        handles,
        [f"region {number}" for number in range(len(labels))],
        loc="outside lower center",
        ncols=LEGEND_COLUMNS,
        frameon=False,
        fontsize=8,
    )
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set_parse_math(False)  # a name may contain $, or start with _
        text.set_text(label)


def _shorten_label(name: str) -> str:
    """Return the end of a long name; characters that the font lacks are question marks."""
    font = get_font(findfont(FontProperties()))
    drawn = "".join(c if font.get_char_index(ord(c)) else "?" for c in name)
    return drawn if len(drawn) <= MAX_LABEL else f"…{drawn[1 - MAX_LABEL :]}"
