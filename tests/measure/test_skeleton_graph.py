"""Spurs are removed from graphs of lines, and lines are joined where branch points vanish."""

import numpy as np
import pytest

from asem.measure.skeleton_graph import SkeletonGraph, count_branch_points, remove_spurs
from asem.measure.skeleton_lines import Line, trace_lines


def traced(text, radius=3.0):
    """The graph of lines drawn in a plane; `radius` in voxels, at every point."""
    rows = [list(row) for row in text.split()]
    drawn = np.array(rows) == "#"
    skeleton = np.pad(drawn[None], 1)
    value = np.full(skeleton.shape, radius, np.float32)
    return SkeletonGraph.from_lines(*trace_lines(skeleton, value, value, (1.0, 1.0, 1.0)))


def pruned(text, radius=3.0):
    graph = traced(text, radius)
    remove_spurs(graph, 1.0)
    return graph


LINE = """
....................
.##################.
....................
"""
SPUR = """
.........#..........
.........#..........
.##################.
....................
"""
BRANCH = """
.........#..........
.........#..........
.........#..........
.........#..........
.........#..........
.........#..........
.##################.
....................
"""
RING = """
...######....
..#......#...
.#........#..
.#........#..
..#......#...
...######....
"""
TAIL = """
...######..........
..#......#.........
.#........#########
.#........#........
..#......#.........
...######..........
"""
STAIRS = """
.##........
...##......
.....##....
......#....
......##...
"""


def test_a_line_is_one_line():
    (line,) = traced(LINE).lines.values()
    assert line.is_open
    assert line.length_nm == 17


def test_corners_are_no_branch_points():
    graph = pruned(STAIRS)
    assert len(graph.lines) == 1
    assert count_branch_points(graph, 1.0) == 0


def test_a_spur_is_removed_and_its_line_becomes_one():
    assert len(traced(SPUR).lines) == 3
    graph = pruned(SPUR)
    (line,) = graph.lines.values()
    assert line.length_nm == pytest.approx(17, abs=1)
    assert count_branch_points(graph, 1.0) == 0
    assert line.is_open


def test_a_branch_remains():
    graph = pruned(BRANCH)
    assert len(graph.lines) == 3
    assert count_branch_points(graph, 1.0) == 1
    assert sum(line.length_nm for line in graph.lines.values()) == pytest.approx(17 + 6, abs=1.5)


def test_the_same_branch_of_a_thicker_object_is_a_spur():
    assert len(pruned(BRANCH, radius=8.0).lines) == 1


def test_a_ring():
    (line,) = pruned(RING).lines.values()
    assert line.is_closed
    assert line.length_nm == pytest.approx(2 * 5 + 2 + 8 * np.sqrt(2), abs=0.1)


def test_a_ring_with_a_tail():
    graph = pruned(TAIL, radius=1.0)
    assert len(graph.lines) == 2
    assert count_branch_points(graph, 1.0) == 1


def test_a_tail_that_is_a_spur_leaves_a_ring():
    graph = traced(TAIL, radius=1.0)
    (tail,) = (n for n, line in graph.lines.items() if None in (line.start, line.end))
    (left,) = graph.remove_spur(tail)
    assert graph.lines[left].is_closed
    assert count_branch_points(graph, 1.0) == 0


def test_a_loop_that_is_a_spur_leaves_the_tail():
    graph = traced(TAIL, radius=1.0)
    (loop,) = (n for n, line in graph.lines.items() if line.start == line.end)
    (left,) = graph.remove_spur(loop)
    assert graph.lines[left].is_open


def test_the_last_spur_of_a_branch_point_leaves_a_point():
    points = np.array([[0.0, 0, 0], [0, 0, 1]])
    line = Line(points, np.ones(2), np.ones(2), start=0)
    graph = SkeletonGraph({1: line}, {0: 1.0}, {0: [1]}, 1)
    (left,) = graph.remove_spur(1)
    assert graph.lines[left].points.tolist() == [[0, 0, 0]]
    assert graph.lines[left].is_open
