"""Pictures of the page of a report, as plain data: planes with outlines, axes and a scale bar."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Outline:
    """Outlines in a picture.

    Parameters
    ----------
    name
        What they are: ``labels``, ``prediction`` or ``scored``.
    path
        As the path of an SVG, in pixels, 0 at the left and upper border of the picture.
    """

    name: str
    path: str


@dataclass(frozen=True)
class Axis:
    """An axis of a picture: its name, and the positions of both ends, µm."""

    name: str
    start_um: float
    end_um: float

    @property
    def ends(self) -> tuple[str, str]:
        """The positions of both ends as text."""
        start, end = (f"{um:.3f}".rstrip("0").rstrip(".") for um in (self.start_um, self.end_um))
        return start, end


@dataclass(frozen=True)
class Picture:
    """A picture of a plane with outlines, axes and a scale bar.

    Parameters
    ----------
    caption, alternative
        Text below it; text in place of it, with numbers.
    data_url
        The grey values or colours.
    shape
        Pixels along rows and columns.
    size_um
        Height and width, µm.
    down, right
        The axes.
    outlines
        In the order in which they are drawn.
    """

    caption: str
    alternative: str
    data_url: str
    shape: tuple[int, int]
    size_um: tuple[float, float]
    down: Axis
    right: Axis
    outlines: Sequence[Outline] = ()

    @property
    def bar_um(self) -> float:
        """Length of the scale bar: a round one, at most a third of the width."""
        lengths = [m * 10.0**e for e in range(-4, 5) for m in (1, 2, 5)]
        return max([n for n in lengths if n <= self.size_um[1] / 3], default=lengths[0])

    @property
    def bar_text(self) -> str:
        """Length of the scale bar with its unit."""
        return f"{self.bar_um:g} µm" if self.bar_um >= 1 else f"{1000 * self.bar_um:g} nm"

    @property
    def bar_percent(self) -> float:
        """Length of the scale bar, percent of the width of the picture."""
        return 100 * self.bar_um / self.size_um[1]


@dataclass(frozen=True)
class Pictures:
    """Pictures side by side, with what their colours mean.

    Parameters
    ----------
    pictures
        The pictures.
    legend
        Name of an outline or of a colour scale, and what it means.
    are_orthogonal
        Whether they are the planes xy, zy and xz, which are drawn at one scale, with common axes::

            xy  zy
            xz
    """

    kind: ClassVar[str] = "pictures"
    pictures: Sequence[Picture]
    legend: Sequence[tuple[str, str]] = ()
    are_orthogonal: bool = False

    @property
    def widths_um(self) -> tuple[float, float]:
        """Widths of both columns of orthogonal planes."""
        return self.pictures[0].size_um[1], self.pictures[1].size_um[1]
