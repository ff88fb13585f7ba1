"""The order of planes by the numbers in their names."""

import random
from pathlib import Path

import pytest

from asem.volume.plane_order import sort_planes

ATLAS = ["slice_00004_z=0.3475um.tif", "slice_00005_z=0.3470um.tif", "slice_00006_z=0.9950um.tif",
         "slice_00007_z=1.0025um.tif", "slice_00008_z=-0.0010um.tif"]  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        ATLAS,
        ["s_8.tif", "s_9.TIF", "s_10.tiff", "s_11.Tiff"],
        ["s_1.ome.tif", "s_2.ome.tiff", "s_3.tif"],
        ["a_001_20240101093000.tif", "a_002_20240101093007.tif", "a_003_20240101094500.tif"],
        ["20240101_093000_a_001.tif", "20240101_093500_a_002.tif", "20240102_000100_a_003.tif"],
        ["x.1.0007.tif", "x.1.0008.tif", "x.1.0009.tif"],
        ["cell_5.24nm_8.tif", "cell_5.24nm_9.tif", "cell_5.24nm_10.tif"],
        ["9.tif", "10.tif"],
        ["c009.tif", "c010.tif"],
        ["plane 1 (of 3).tif", "plane 2 (of 3).tif", "plane 3 (of 3).tif"],
        ["s_0001_0001.tif", "s_0002_0002.tif", "s_0003_0003.tif"],
        ["img-3.tif", "img-4.tif"],
    ],
)
def test_whole_numbers_count_the_planes(names):
    files = [Path("folder", name) for name in names]
    mixed = files.copy()
    random.Random(1).shuffle(mixed)
    assert sort_planes(mixed) == files


def test_a_length_counts_where_nothing_else_does(caplog):
    names = ["z=0.3400um.tif", "z=0.3450um.tif", "z=0.9950um.tif", "z=1.0000um.tif"]
    files = [Path(name) for name in names]
    assert sort_planes(files[::-1]) == files
    assert "missing planes are not detected" in caplog.text


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a_1.tif", "a_1.tiff"], "are the same plane"),
        (["a_01.tif", "a_1.TIF"], "are the same plane"),
        (["a_1_4.tif", "a_2_3.tif", "a_3_2.tif"], "differ in 2 numbers of their names"),
        (["a_1_1.tif", "a_1_2.tif", "a_2_1.tif", "a_2_2.tif"], "differ in 2 numbers"),
        (
            ["a_1_z=0.5um.tif", "a_2_z=0.6um.tif", "a_4_z=0.7um.tif"],
            "lacks 1 of its planes: number 3",
        ),
        (["a.tif", "b.tif"], "are named differently"),
        (["a_1.tif", "a_2_b.tif"], "are named differently"),
    ],
)
def test_names_that_count_nothing(names, message):
    with pytest.raises(ValueError, match=message):
        sort_planes([Path("folder", name) for name in names])


def test_a_number_that_may_be_a_channel_is_warned_of(caplog):
    files = [Path("folder", f"img_c{c}.tif") for c in (0, 1)]
    assert sort_planes(files) == files
    assert "--channel reads one of them as a channel" in caplog.text
    assert sort_planes(files, "1") == files[1:]


def test_a_decimal_is_no_channel():
    names = [f"s{n:03d}_w{5.0 if n < 6 else 5.5}.tif" for n in range(12)]
    assert sort_planes([Path(name) for name in names[::-1]]) == [Path(name) for name in names]
    names = [f"s{n:03d}_w{4.98 if n < 6 else 4.99}.tif" for n in range(12)]
    assert sort_planes([Path(name) for name in names[::-1]]) == [Path(name) for name in names]


def test_times_order_planes(caplog):
    names = [
        f"Merlin-6257_21-05-13_{time}.tif" for time in ("094551", "094718", "095002", "110000")
    ]
    assert sort_planes([Path(name) for name in names[::-1]]) == [Path(name) for name in names]
    assert "ordered by the time in their names" in caplog.text


def test_what_only_begins_like_a_unit_is_counted():
    with pytest.raises(ValueError, match="lacks 1 of its planes: number 3"):
        sort_planes([Path(f"a_000{n}nmda.tif") for n in (1, 2, 4)])


def test_the_planes_of_a_channel_have_no_gap():
    files = [Path(f"c{c}_{z}.tif") for c in (0, 1) for z in (4, 5, 6)]
    assert sort_planes(files, "1") == files[3:]
    with pytest.raises(ValueError, match="lacks 1 of its planes: number 5"):
        sort_planes([*files[:4], files[5]], "1")


def test_a_hundred_thousand_names_are_ordered():
    """Their numbers are read once each: read for each name, they take hours."""
    names = [Path("folder", f"s_{n:06d}.tif") for n in range(100_000)]
    assert sort_planes(names[::-1]) == names
