"""Keyboard shortcuts of the annotation, bound to the viewer and its layers."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from asem.plugin.annotation_model import AnnotationModel
from asem.plugin.mouse import Brush

PAN_KEY = "Space"
"""While it is pressed, dragging with the left button pans."""


class KeyActions(Protocol):
    """Actions of the shortcuts; `AnnotationController` has them."""

    model: AnnotationModel
    brush: Brush

    def set_mode(self, mode: str) -> None:
        """Set the mode of the left button."""

    def change_radius(self, voxels: int) -> None:
        """Add to the radius of the brush."""

    def decide_object(self, mode: str) -> None:
        """Accept or reject the object under the pointer."""

    def go_to_least_certain(self) -> None:
        """Show the least certain voxel."""


def make_key_map(actions: KeyActions) -> dict[str, Callable[[], object]]:
    """Return the action of each key."""
    model = actions.model
    return {
        "1": partial(actions.set_mode, "foreground"),
        "2": partial(actions.set_mode, "background"),
        "E": partial(actions.set_mode, "erase"),
        "M": partial(actions.set_mode, "move"),
        "[": partial(actions.change_radius, -1),
        "]": partial(actions.change_radius, 1),
        "Control-Z": model.undo,
        "Control-Y": model.redo,
        "C": model.request_cut,
        "A": partial(actions.decide_object, "accept"),
        "R": partial(actions.decide_object, "reject"),
        "U": actions.go_to_least_certain,
        "N": lambda: model.go_to_window(model.window_index + 1),
        "P": lambda: model.go_to_window(model.window_index - 1),
    }


def bind_keys(providers: Sequence[Any], actions: KeyActions) -> Callable[[], None]:
    """Bind the keys in the viewer and in layers; they override those of napari.

    Returns
    -------
    Callable
        Restores the keys of napari.
    """

    def pan(_: Any) -> Iterator[None]:
        actions.brush.is_panning = True
        yield
        actions.brush.is_panning = False

    key_map = make_key_map(actions)
    for provider in providers:
        for key, action in key_map.items():
            provider.bind_key(key, lambda _, action=action: action() and None, overwrite=True)
        provider.bind_key(PAN_KEY, pan, overwrite=True)

    def unbind() -> None:
        for provider in providers:
            for key in (*key_map, PAN_KEY):
                provider.bind_key(key, None)

    return unbind
