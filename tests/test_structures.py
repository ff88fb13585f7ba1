import pytest

from asem.structures import find_preset


def test_the_papers_zones_in_nm_are_voxels_of_five():
    widths = {name: find_preset(name) for name in ("mito", "golgi", "er", "npc", "ccp")}
    voxels = {n: (s.zone_out_nm / 5, s.zone_in_nm / 5) for n, s in widths.items()}
    assert voxels == {"mito": (4, 4), "golgi": (2, 2), "er": (1, 1), "npc": (3, 1), "ccp": (3, 1)}


def test_an_unknown_structure_is_reported_with_the_known():
    with pytest.raises(
        ValueError, match=r"'mitos'; known: mito, golgi, .*; did you mean 'mito'\?$"
    ):
        find_preset("mitos")
