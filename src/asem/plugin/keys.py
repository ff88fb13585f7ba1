"""Keys of the annotation, on the canvas and wherever nothing is typed."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from asem.plugin.brush import Brush
from asem.plugin.desk import Desk

HOLD = "Space"
"""While it is down, the left button moves the view."""


class Hands(Protocol):
    """What keys do: the widget."""

    desk: Desk
    brush: Brush

    def set_mode(self, mode: str) -> None:
        """Choose what the left button does."""

    def widen(self, by: int) -> None:
        """Make the brush larger or smaller."""

    def judge(self, mode: str) -> None:
        """Judge the object under the pointer."""

    def go_to_uncertain(self) -> None:
        """Show the least certain place."""


def actions(hands: Hands) -> dict[str, Callable[[], object]]:
    """Return what each key does."""
    desk = hands.desk
    return {
        "1": partial(hands.set_mode, "foreground"),
        "2": partial(hands.set_mode, "background"),
        "E": partial(hands.set_mode, "erase"),
        "M": partial(hands.set_mode, "move"),
        "[": partial(hands.widen, -1),
        "]": partial(hands.widen, 1),
        "Control-Z": desk.undo,
        "Control-Y": desk.redo,
        "C": desk.recut,
        "A": partial(hands.judge, "accept"),
        "R": partial(hands.judge, "reject"),
        "U": hands.go_to_uncertain,
        "N": lambda: desk.go_to(desk.number + 1),
        "P": lambda: desk.go_to(desk.number - 1),
    }


def bind(providers: Sequence[Any], hands: Hands) -> Callable[[], None]:
    """Bind the keys, over what napari has on them, in the viewer and in layers.

    Returns
    -------
    Callable
        Gives them back to napari.
    """

    def hold(_: Any) -> Iterator[None]:
        hands.brush.held = True
        yield
        hands.brush.held = False

    acts = actions(hands)
    for provider in providers:
        for key, act in acts.items():
            provider.bind_key(key, lambda _, act=act: act() and None, overwrite=True)
        provider.bind_key(HOLD, hold, overwrite=True)

    def unbind() -> None:
        for provider in providers:
            for key in (*acts, HOLD):
                provider.bind_key(key, None)

    return unbind
