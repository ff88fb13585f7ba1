"""Lengths and branch points of the skeletons of analytic shapes, in random orientations."""

import itertools

import numpy as np
import pytest

from asem.measure import skeletons
from asem.measure.longest_axis import find_longest_axis
from asem.measure.skeletons import measure_skeleton
from tubes import arms, circle, ellipsoid, rasterize, roughen, straight

CUBES, SHALLOW, SLICES = (5.0, 5.0, 5.0), (5.2, 4.0, 4.0), (20.0, 5.0, 5.0)
SIZES = pytest.mark.parametrize("voxel_size", [CUBES, SHALLOW])


def edge(voxel_size):
    return float(np.prod(voxel_size)) ** (1 / 3)


def check(mask, voxel_size, length, branch_points, tolerance):
    found = measure_skeleton(mask, voxel_size)
    assert found.length_nm == pytest.approx(length, rel=tolerance)
    assert found.branch_points == branch_points
    return found


@SIZES
@pytest.mark.parametrize(("radius", "length"), [(4, 6), (4, 15), (7, 6), (12, 6)])
@pytest.mark.parametrize("flat_ends", [True, False])
def test_a_tube_has_the_length_of_its_axis(rng, voxel_size, radius, length, flat_ends):
    radius = radius * edge(voxel_size)
    for _ in range(3):
        axis = straight(length * radius - (0 if flat_ends else 2 * radius))
        mask = rasterize(axis, radius, voxel_size, rng, flat_ends=flat_ends)
        check(mask, voxel_size, length * radius, 0, 0.03)


@SIZES
@pytest.mark.parametrize("radius", [3, 5, 8])
def test_a_ring_has_the_length_of_its_circle(rng, voxel_size, radius):
    radius = radius * edge(voxel_size)
    mask = rasterize(circle(3 * radius), radius, voxel_size, rng)
    check(mask, voxel_size, 6 * np.pi * radius, 0, 0.03)


@SIZES
@pytest.mark.parametrize("radius", [4, 7])
def test_a_helix(rng, voxel_size, radius):
    radius = radius * edge(voxel_size)
    turns = np.linspace(0, 3 * np.pi, 80)
    helix = radius * np.stack([4 * np.cos(turns), 4 * np.sin(turns), 0.8 * turns], axis=1)
    length = 3 * np.pi * np.hypot(4, 0.8) * radius + 2 * radius
    check(rasterize(helix, radius, voxel_size, rng), voxel_size, length, 0, 0.03)


@SIZES
@pytest.mark.parametrize("radius", [3, 7])
@pytest.mark.parametrize(
    "directions",
    [
        [(0, 1, 0), (0, -0.5, 0.87), (0, -0.5, -0.87)],
        [(0, 1, 0), (0, -1, 0), (0, 0, 1)],
        [(0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)],
        [(0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1), (1, 0, 0), (-1, 0, 0)],
    ],
    ids=["Y", "T", "X", "six arms"],
)
def test_a_star_has_one_branch_point(rng, voxel_size, radius, directions):
    radius = radius * edge(voxel_size)
    for _ in range(2):
        mask = rasterize(arms(directions, 6 * radius), radius, voxel_size, rng)
        check(mask, voxel_size, len(directions) * 7 * radius, 1, 0.05)


@pytest.mark.parametrize(
    ("tilt", "half"), [((0.21, 0.13), 1.2), ((0.1, 0.05), 2), ((0.21, 0.13), 2)]
)
def test_a_tube_with_a_thin_fin_is_a_tube(tilt, half):
    z, y, x = np.ogrid[-9:10, -9:24, :60]
    across = z - tilt[0] * y - tilt[1] * (x - 30)
    tube = across**2 + y**2 <= 49
    check(tube | ((abs(across) <= half) & (y >= 0) & (y <= 18)), CUBES, 300, 0, 0.2)


def test_a_thin_branch_of_a_thick_tube():
    z, y, x = (np.arange(n) * 5.0 for n in (24, 60, 100))
    mask = np.hypot(z[:, None] - 60, y - 60)[..., None] <= 50
    mask = np.repeat(mask, 100, axis=2)
    mask |= (np.hypot(z[:, None] - 60, x - 250)[:, None] <= 10) & (y[:, None] >= 60)
    check(mask, CUBES, 500 + 240, 1, 0.05)


def test_a_ring_with_a_tail_has_one_branch_point(rng):
    lines = [circle(100.0), np.array([[100.0, 0, 0], [250.0, 0, 0]])]
    check(rasterize(lines, 25.0, CUBES, rng), CUBES, 200 * np.pi + 175, 1, 0.05)


def test_a_tube_with_a_small_handle_counts_its_loop(rng):
    lines = [straight(600.0), np.add(circle(70.0), [300.0, 70.0, 0])]
    found = measure_skeleton(rasterize(lines, 20.0, CUBES, rng), CUBES)
    assert found.length_nm == pytest.approx(640 + 2 * np.pi * 70, rel=0.08)
    assert 1 <= found.branch_points <= 2


@pytest.mark.parametrize("radius", [6, 9])
@pytest.mark.parametrize("chance", [0.1, 0.3])
def test_rough_surfaces_have_no_spurs(rng, radius, chance):
    radius = 5.0 * radius
    tube = roughen(rasterize(straight(8 * radius), radius, CUBES, rng), rng, chance)
    check(tube, CUBES, 10 * radius, 0, 0.05)
    flat = rasterize(straight(8 * radius), radius, CUBES, rng, flat_ends=True)
    check(roughen(flat, rng, chance), CUBES, 8 * radius, 0, 0.05)
    ring = roughen(rasterize(circle(3 * radius), radius, CUBES, rng), rng, chance)
    check(ring, CUBES, 6 * np.pi * radius, 0, 0.05)


def test_a_tube_in_thick_slices(rng):
    for _ in range(3):
        mask = rasterize(straight(600.0), 60.0, SLICES, rng)
        check(mask, SLICES, 720, 0, 0.05)


@SIZES
@pytest.mark.parametrize(("radius", "tolerance"), [(3, 0.1), (6, 0.03), (9, 0.015)])
def test_a_ball_has_its_diameter(rng, voxel_size, radius, tolerance):
    radius = radius * edge(voxel_size)
    for _ in range(4):
        mask = rasterize(straight(0.01), radius, voxel_size, rng)
        check(mask, voxel_size, 2 * radius, 0, tolerance)


@SIZES
@pytest.mark.parametrize("semi_axes", [(5, 5, 20), (5, 7, 9), (6, 10, 16), (5, 10, 10)])
def test_an_ellipsoid_has_its_longest_axis(rng, voxel_size, semi_axes):
    semi_axes = np.array(semi_axes) * edge(voxel_size)
    for _ in range(2):
        check(ellipsoid(semi_axes, voxel_size, rng), voxel_size, 2 * semi_axes[2], 0, 0.02)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("thickness", [2, 4])
def test_a_beam_has_its_length_along_each_axis(axis, thickness):
    beam = np.moveaxis(np.ones((thickness, thickness, 40), bool), 2, axis)
    check(beam, CUBES, 200, 0, 0.03)


def test_the_background_around_an_object_does_not_matter(rng):
    y, x = np.ogrid[-6:7, -6:7]
    ball = np.stack([z**2 + y**2 + x**2 <= 36 for z in range(-6, 7)])
    tube = rasterize(straight(100.0), 25.0, SHALLOW, rng)
    for mask in (ball, np.ones((4, 5, 30), bool), tube):
        found = measure_skeleton(mask, SHALLOW)
        margins = rng.integers(0, 6, (3, 2))
        padded = measure_skeleton(np.pad(mask, margins), SHALLOW)
        assert padded.length_nm == found.length_nm
        assert padded.lines[0] == pytest.approx(found.lines[0] + margins[:, 0] * SHALLOW)


@pytest.mark.parametrize("radius", [4, 6])
def test_two_tubes_that_cross_at_60_degrees_have_one_branch_point(rng, radius):
    directions = [(0, 0.87, 0.5), (0, -0.87, -0.5), (0, 0.87, -0.5), (0, -0.87, 0.5)]
    for _ in range(3):
        mask = rasterize(arms(directions, 30.0 * radius), 5.0 * radius, CUBES, rng)
        check(mask, CUBES, 4 * 35 * radius, 1, 0.05)


def test_an_h_has_two_branch_points(rng):
    legs = [np.array([[0.0, -120, y], [0, 120, y]]) for y in (-45.0, 45.0)]
    bar = np.array([[0.0, 0, -45], [0, 0, 45]])
    check(rasterize([*legs, bar], 20.0, CUBES, rng), CUBES, 2 * 280 + 90, 2, 0.05)


def test_a_disc_has_about_its_diameter_and_no_branch_points():
    y, x = np.ogrid[-25:26, -25:26]
    disc = np.repeat((y**2 + x**2 <= 24**2)[None], 5, axis=0)
    found = measure_skeleton(disc, CUBES)
    assert found.length_nm == pytest.approx(49 * 5, rel=0.15)
    assert found.branch_points == 0


def test_parts_are_added_but_not_dust(rng):
    tube = rasterize(straight(150.0), 20.0, CUBES, rng)
    length = measure_skeleton(tube, CUBES).length_nm
    both = np.concatenate([tube, np.zeros((3, *tube.shape[1:]), bool), tube])
    assert measure_skeleton(both, CUBES).length_nm == pytest.approx(2 * length, rel=0.01)
    both[len(tube) + 1, 1, 1] = True
    assert measure_skeleton(both, CUBES).length_nm == pytest.approx(2 * length, rel=0.01)


def test_each_part_is_measured_in_its_own_box(monkeypatch):
    ball = np.linalg.norm(np.indices((16, 16, 16)) - 7.5, axis=0) <= 6
    mask = np.tile(ball, (1, 3, 4))
    voxels = []

    def record(part, voxel_size):
        voxels.append(part.size)
        return find_longest_axis(part, voxel_size)

    monkeypatch.setattr(skeletons, "find_longest_axis", record)
    lines = measure_skeleton(mask, CUBES).lines
    centres = sorted((line.mean(axis=0) / 5).round(3).tolist() for line in lines)
    places = itertools.product((7.5, 23.5, 39.5), (7.5, 23.5, 39.5, 55.5))
    assert centres == [[7.5, y, x] for y, x in places]
    assert sum(voxels) <= mask.size  # and not once for each part


def test_a_former_branch_point_may_be_beside_the_object(monkeypatch):
    """The part that is measured is the object all the same, and not the background."""
    picture = """
        ..#.#........#..
        .#.#.#......#.#.
        .#.#.##....#...#
        #.###..#....###.
        .#..#.#.#..##...
        .....#...##.....
    """
    mask = np.array([[voxel == "#" for voxel in row] for row in picture.split()])[:, None]
    measured = []

    def record(part, voxel_size):
        measured.append(part)
        return find_longest_axis(part, voxel_size)

    monkeypatch.setattr(skeletons, "find_longest_axis", record)
    assert 80 < measure_skeleton(mask, (30.0, 5.0, 5.0)).length_nm < 400
    (part,) = measured
    assert part.sum() == mask.sum()


def test_cavities_do_not_matter(rng):
    tube = rasterize(straight(250.0), 30.0, CUBES, rng)
    whole = measure_skeleton(tube, CUBES)
    centre = np.rint(np.argwhere(tube).mean(axis=0)).astype(int)
    tube[tuple(slice(n - 1, n + 2) for n in centre)] = False
    found = measure_skeleton(tube, CUBES)
    assert (found.length_nm, found.branch_points) == (whole.length_nm, 0)


def test_positions_are_those_of_the_mask(rng):
    mask = np.zeros((9, 9, 60), bool)
    mask[2:7, 2:7, 5:55] = True
    (line,) = measure_skeleton(mask, CUBES).lines
    line = line[np.argsort(line[:, 2])]
    assert line[[0, -1]] == pytest.approx(np.array([[20, 20, 22.5], [20, 20, 272.5]]), abs=1)
