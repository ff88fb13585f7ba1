"""Transforms and settings of layers, as numbers."""

import numpy as np
import pytest

from asem.view.client_formats import ClientImage
from asem.view.layers import (
    Placement,
    extent_nm,
    make_image_layer,
    make_label_layer,
    make_probability_layer,
    place_image,
)
from asem.view.open_view import snap_to_voxel
from asem.view.served_content import FileTree
from asem.view.view_state import make_state
from asem.volume.volume import Volume

SIZE, OFFSET = (5.24, 4.0, 3.0), (100.0, -8.0, 7.5)


def volume_of(dtype, **more):
    return Volume(np.zeros((4, 6, 8), dtype), SIZE, OFFSET, **more)


@pytest.mark.parametrize(
    ("axes", "first"), [("zyx", (0, 0, 0)), ("xyz", (0, 0, 0)), ("xyz", (3, -2, 7))]
)
def test_centres_of_voxels_are_where_asem_has_them(axes, first):
    """As neuroglancer's coordinate_transform.ts computes it: index i is at i to i + 1."""
    volume = volume_of(np.uint8)
    placement = place_image(ClientImage(FileTree(), "zarr3", tuple(axes), first), volume).to_json()
    voxel = {"z": 1, "y": 4, "x": 6}
    for row, name in enumerate(axes):
        index = first[row] + voxel[name] + 0.5
        scale, unit = placement["inputDimensions"][name]
        out, out_unit = placement["outputDimensions"][name]
        assert (unit, out_unit, out) == ("m", "m", 1e-9)
        assert placement["matrix"][row][row] == 1
        found = index * scale / out + placement["matrix"][row][3]
        assert found == pytest.approx(volume.position_nm((1, 4, 6))["zyx".index(name)])


def test_grey_values_of_8_bits_are_never_stretched():
    layer = make_image_layer("raw", {}, volume_of(np.uint8, window=(90.0, 130.0)))
    assert layer["shaderControls"]["contrast"]["range"] == [0, 255]
    assert (layer["tab"], layer["codeVisible"]) == ("rendering", False)
    layer = make_image_layer("raw", {}, volume_of(np.uint16, window=(900.0, 1300.0)))
    assert layer["shaderControls"]["contrast"]["range"] == [900, 1300]
    assert make_image_layer("raw", {}, volume_of(np.float32))["shaderControls"] == {}


def test_probabilities_of_both_types_end_at_1():
    assert "toNormalized(" in make_probability_layer("p", {}, volume_of(np.uint8))["shader"]
    assert "toRaw(" in make_probability_layer("p", {}, volume_of(np.float32))["shader"]


def test_unlabelled_voxels_belong_to_the_hidden_segment():
    volume = volume_of(np.uint16, kind="labels")
    layer = make_label_layer("labels/mito", [{}], "labels", volume)
    assert layer["equivalences"] == [["0", "65535"]]
    assert layer["segmentColors"] == {"1": "#ff8c1a"}
    zone = make_label_layer("exclusion/mito", [{}], "zone", volume)
    assert zone["selectedAlpha"] < layer["selectedAlpha"]
    alone = make_label_layer("meshes", [{}], "instances", None, segments=[3, 2**60])
    assert alone["segments"] == ["3", str(2**60)]
    assert "equivalences" not in alone


def test_everything_fits_into_each_panel():
    box = ((0.0, 0.0, 0.0), (3000.0, 500.0, 1000.0))
    state = make_state([], box_nm=box, panel=(400, 640))
    assert state["position"] == [500, 250, 1500]  # x, y, z
    assert 3000 / 400 < state["crossSectionScale"] < 1.2 * 3000 / 400
    state = make_state([], box_nm=box, position_nm=(1.0, 2.0, 3.5), width_nm=640, panel=(400, 640))
    assert (state["position"], state["crossSectionScale"]) == ([3.5, 2, 1], 1)


def test_a_step_of_the_wheel_is_a_voxel():
    box = ((0.0, 0.0, 0.0), (3000.0, 500.0, 1000.0))
    place = {"box_nm": box, "position_nm": (100.0, 20.0, 9.0), "width_nm": 640}
    state = make_state([], panel=(400, 640), unit_nm=(8.0, 4.0, 3.0), **place)
    units = [unit[0] for unit in state["dimensions"].values()]
    assert units == pytest.approx([3e-9, 4e-9, 8e-9])
    assert state["position"] == [3, 5, 12.5]
    assert state["crossSectionScale"] == pytest.approx(1 / 3)
    assert snap_to_voxel((100.0, 0.0, -4.0), volume_of(np.uint8)) == pytest.approx((100, 0, -4.5))
    assert snap_to_voxel((1.5, 2.5, 3.5), None) == (1.5, 2.5, 3.5)


def test_the_extent_ends_at_faces_of_voxels():
    low, high = extent_nm(volume_of(np.uint8))
    assert low == pytest.approx((97.38, -10, 6))
    assert high == pytest.approx((97.38 + 4 * 5.24, -10 + 6 * 4, 6 + 8 * 3))


def test_a_placement_is_the_identity_beside_its_translation():
    matrix = Placement("zyx", SIZE, OFFSET).to_json()["matrix"]
    assert np.array_equal(matrix, np.hstack([np.eye(3), np.transpose([OFFSET])]))
