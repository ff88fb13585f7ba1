"""Serve what paths name as a view: sources, layers and the state that the client displays."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from asem.config import MAX_POSITION_NM, NmZYX, shorten
from asem.view.client_formats import ClientImage, find_client_image
from asem.view.collect import Collected, ViewedImage, collect
from asem.view.layers import (
    extent_nm,
    make_image_layer,
    make_label_layer,
    make_probability_layer,
    make_source,
    place_image,
)
from asem.view.served_content import Source
from asem.view.server import ViewServer
from asem.view.table_layers import TableLayer, make_table_layers
from asem.view.view_state import PANEL_PIXELS, find_middle, make_state
from asem.view.virtual_image import VirtualImage
from asem.volume.address import AddressLike
from asem.volume.roi import Roi, per_axis
from asem.volume.volume import Volume, format_nm

LOG = logging.getLogger(__name__)
SAMPLE: tuple[int, int, int] = (1, 256, 256)
"""Voxels from which a contrast window is found where an image states none."""
SAMPLE_PERCENTILES = (0.5, 99.5)
UNKNOWN_NM = 1000.0
"""Half of the edge of what is displayed of meshes alone, whose extent is not stated, nm."""
MakeLayer = Callable[[str], dict[str, Any]]
"""Makes a layer from the address of the sources."""


@dataclass(frozen=True)
class ViewOptions:
    """What a view displays at first.

    Parameters
    ----------
    position_nm
        Where the planes cross, nm along (z, y, x); None: the middle.
    width_nm
        Width of what a panel displays, nm; None: everything fits.
    port
        Of the server; 0: any free one.
    panel
        Height and width of a panel, pixels; None: those of a usual window.
    """

    position_nm: NmZYX | None = None
    width_nm: float | None = None
    port: int = 0
    panel: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.width_nm is not None and not 0 < self.width_nm <= MAX_POSITION_NM:
            raise ValueError(
                f"a width of {self.width_nm:g} nm; it must be positive, at most "
                f"{MAX_POSITION_NM:g} nm"
            )
        if self.position_nm and not max(map(abs, self.position_nm)) <= MAX_POSITION_NM:
            raise ValueError(
                f"the position {format_nm(self.position_nm)} nm is more than {MAX_POSITION_NM:g} "
                "nm from the origin"
            )
        if not 0 <= self.port < 2**16:
            raise ValueError(
                f"port {shorten(self.port)}; allowed are 0 (any free one) to {2**16 - 1}"
            )


DEFAULT_OPTIONS = ViewOptions()


@dataclass(frozen=True)
class View:
    """A view that is served.

    Parameters
    ----------
    server
        Its server.
    state
        Layers, position, zoom and layout, as neuroglancer's JSON.
    position_nm
        Where the planes cross, nm along (z, y, x).
    without_meshes
        Names of the layers of instances that are displayed and have no meshes.
    """

    server: ViewServer
    state: dict[str, Any]
    position_nm: NmZYX
    without_meshes: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Address to open in a browser of this machine; it contains the token."""
        return self.server.url

    @property
    def pixel_nm(self) -> float:
        """Edge of a pixel of the panels of planes, nm."""
        shortest_m = min(unit for unit, _ in self.state["dimensions"].values())
        return float(self.state["crossSectionScale"] * shortest_m * 1e9)

    def describe(self) -> dict[str, Any]:
        """Return the address, the position, the layers, and those without meshes."""
        layers = {
            layer["name"]: "displayed" if layer["visible"] else "hidden"
            for layer in self.state["layers"]
        }
        return {
            "url": self.url,
            "position_nm": list(self.position_nm),
            "layers": layers,
            "without_meshes": list(self.without_meshes),
        }


@contextmanager
def open_view(
    addresses: Sequence[AddressLike], options: ViewOptions = DEFAULT_OPTIONS
) -> Iterator[View]:
    """Serve a view on 127.0.0.1 until the block ends.

    Reads metadata only; voxels are read when the client requests them. An image of more than 8 bits
    that states no contrast window is the exception: 256 x 256 voxels in its middle are read.

    Parameters
    ----------
    addresses
        Images in any format, cells, mesh folders and tables; paths or URLs.
    options
        What is displayed at first.

    Raises
    ------
    FileNotFoundError
        Nothing exists at an address.
    OSError
        It cannot be read, or the port is in use.
    ValueError
        It is nothing that can be viewed.
    """
    collected = collect(addresses)
    tables = list(_open_tables(collected))
    sources: dict[str, Source] = {}
    make_layers = [_add_image(sources, image) for image in collected.images]
    make_layers += [_add_table(sources, table) for table in tables]
    box, grid = find_box(collected, tables), find_grid(collected)
    position = options.position_nm or snap_to_voxel(find_middle(box), grid)
    _warn_of_position(position, collected)
    with ViewServer(sources, port=options.port) as server:
        state = make_state(
            [make_layer(server.data_url) for make_layer in make_layers],
            box_nm=box,
            position_nm=position,
            width_nm=options.width_nm,
            has_meshes=any(one.meshes and one.visible for one in collected.images),
            panel=options.panel or PANEL_PIXELS,
            unit_nm=grid.voxel_size if grid else (1.0, 1.0, 1.0),
        )
        server.set_state(state)
        without_meshes = tuple(
            one.name
            for one in collected.images
            if one.kind == "instances" and one.visible and one.meshes is None
        )
        yield View(server, state, position, without_meshes)


def _open_tables(collected: Collected) -> Iterator[TableLayer]:
    """Yield the layers of tables; those that are not named may be left out, with a warning."""
    for path, name in collected.tables:
        try:
            yield from make_table_layers(path, name)
        except (OSError, ValueError) as error:
            if path not in collected.found:
                raise
            LOG.warning("%s is left out: %s", path, error)


def _add_source(sources: dict[str, Source], source: Source) -> str:
    name = str(len(sources))
    sources[name] = source
    return name


def _add_image(sources: dict[str, Source], image: ViewedImage) -> MakeLayer:
    """Add an image and its meshes; voxels are read here where the client does not read them."""
    client: ClientImage | None = None
    if image.levels:
        client = find_client_image(image.levels) or ClientImage(
            VirtualImage(image.levels), "neuroglancer-precomputed", ("x", "y", "z")
        )
    name = _add_source(sources, client.source) if client else ""
    mesh_name = _add_source(sources, image.meshes.source) if image.meshes else ""

    def make_layer(url: str) -> dict[str, Any]:
        layer_sources = []
        if client:
            placement = place_image(client, image.levels[0])
            layer_sources.append(make_source(f"{url}/{name}", client.format, placement))
        if image.meshes:
            layer_sources.append(image.meshes.to_json(f"{url}/{mesh_name}"))
        return _make_layer(image, layer_sources)

    return make_layer


def _add_table(sources: dict[str, Source], table: TableLayer) -> MakeLayer:
    name = _add_source(sources, table.annotations)
    return lambda url: table.to_json(f"{url}/{name}")


def _make_layer(image: ViewedImage, sources: list[dict[str, Any]]) -> dict[str, Any]:
    volume = image.levels[0] if image.levels else None
    if volume is not None and image.kind == "image":
        windowed = replace(volume, window=find_window(volume))
        return make_image_layer(image.name, sources[0], windowed, visible=image.visible)
    if volume is not None and image.kind == "probability":
        return make_probability_layer(image.name, sources[0], volume, visible=image.visible)
    segments = image.meshes.find_segments() if image.meshes else ()
    return make_label_layer(
        image.name, sources, image.kind, volume, segments=segments, visible=image.visible
    )


def find_window(volume: Volume) -> tuple[float, float] | None:
    """Return the contrast window of an image; of 8-bit images none, as 0 to 255 are displayed.

    Where none is stated: the 0.5 and 99.5 percentile of 256 x 256 voxels in the middle.
    """
    if volume.dtype == np.uint8 or volume.window is not None:
        return volume.window
    shape = per_axis(min, SAMPLE, volume.shape)
    middle = per_axis(lambda n, edge: (n - edge) // 2, volume.shape, shape)
    sample = volume.read(Roi(middle, shape)).astype(np.float64)
    finite = sample[np.isfinite(sample)]
    if finite.size == 0:
        return None
    black, white = (float(value) for value in np.percentile(finite, SAMPLE_PERCENTILES))
    return (black, white) if black < white else None


def find_grid(collected: Collected) -> Volume | None:
    """Return the volume through whose planes the view moves: the first one that is displayed."""
    shown = [image for image in collected.images if image.visible] or collected.images
    return next((image.levels[0] for image in shown if image.levels), None)


def snap_to_voxel(position_nm: NmZYX, grid: Volume | None) -> NmZYX:
    """Return the centre of the voxel of a volume that is nearest to a position, nm."""
    if grid is None:
        return position_nm
    return per_axis(
        lambda nm, offset, size: offset + round((nm - offset) / size) * size,
        position_nm,
        grid.offset_nm,
        grid.voxel_size,
    )


def _warn_of_position(position_nm: NmZYX, collected: Collected) -> None:
    """Log a warning where a position is in no image: the planes are empty there."""
    images = [image for image in collected.images if image.levels]
    boxes = [extent_nm(image.levels[0]) for image in images]
    is_inside = (
        all(a <= nm <= b for a, nm, b in zip(low, position_nm, high, strict=True))
        for low, high in boxes
    )
    if boxes and not any(is_inside):
        position, low, high = (
            ", ".join(f"{nm:.9g}" for nm in point) for point in (position_nm, *boxes[0])
        )
        LOG.warning(
            "the position %s nm (z, y, x) is in no image; %s is from %s to %s nm",
            position,
            images[0].name,
            low,
            high,
        )


def find_box(collected: Collected, tables: Sequence[TableLayer]) -> tuple[NmZYX, NmZYX]:
    """Return the corners of what is displayed, nm along (z, y, x): of labels, else of all.

    Labels are often those of a part of the image: the view starts there.
    """
    shown = [image for image in collected.images if image.visible] or collected.images
    labels = [image for image in shown if image.kind != "image" and image.levels]
    boxes = [extent_nm(image.levels[0]) for image in labels or shown if image.levels]
    if not boxes:
        boxes = [table.annotations.extent_nm() for table in tables]
    if not boxes:
        return (-UNKNOWN_NM,) * 3, (UNKNOWN_NM,) * 3
    low = np.min([box[0] for box in boxes], axis=0).tolist()
    high = np.max([box[1] for box in boxes], axis=0).tolist()
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])
