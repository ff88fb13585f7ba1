"""Names of validation regions: given or from the path of raw, unique, printable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asem.model.run_metrics import POOLED
from asem.training.config import TrainConfig
from asem.training.region_config import TrainingRegion
from asem.training.region_names import make_unique, name_regions

BASE = {"structure": "mito", "voxel_size": (5, 5, 5), "train": [{"raw": "r", "labels": "l"}]}


def names_of(*regions):
    """Return the names of regions given as path of raw, or (path, name)."""
    pairs = (one if isinstance(one, tuple) else (one, None) for one in regions)
    return name_regions([TrainingRegion(raw=p, name=n, labels="labels") for p, n in pairs])


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["/data/lab/cell1.zarr/raw"], ["cell1.zarr/raw"]),
        (["cell1.zarr/raw", "cell2.zarr/clahe"], ["cell1.zarr/raw", "cell2.zarr/clahe"]),
        (["/data/cell3.tif", "/data/cell4.tif"], ["cell3.tif", "cell4.tif"]),
        (["/data/cell3/planes", "/data/cell4/planes"], ["cell3/planes", "cell4/planes"]),
        (["a/b/c.zarr/raw", "a/d/c.zarr/raw", "x.tif"], ["b/c.zarr/raw", "d/c.zarr/raw", "x.tif"]),
        (["c.zarr/raw", "d/c.zarr/raw"], ["c.zarr/raw", "d/c.zarr/raw"]),
        (["c.zarr/raw#1", "c.zarr/raw"], ["c.zarr/raw#1", "c.zarr/raw"]),
        (["/x/c.h5:/volumes/raw"], ["c.h5:/volumes/raw"]),
        (["/x/c.zarr/volumes/raw_0.02"], ["c.zarr/volumes/raw_0.02"]),
        (["/x/.hidden/c.n5#2"], ["c.n5#2"]),
        (["s3://bucket/cell.n5/em/s0"], ["cell.n5/em/s0"]),
        (["a.tif", "a.tif", "a.tif"], ["a.tif", "a.tif 2", "a.tif 3"]),
        (["pooled", ("b", "b.tif"), "b.tif"], ["pooled 2", "b.tif", "b.tif 2"]),
        ([("x", "cell 3, naïve"), "x"], ["cell 3, naïve", "x"]),
        (["."], ["."]),
        (["a\nb\x1b[2J.tif"], ["a_b_[2J.tif"]),
        ([], []),
    ],
)
def test_names(paths, expected):
    assert names_of(*paths) == expected


@given(st.lists(st.tuples(st.text("ab./ \n\u202e", min_size=1), st.sampled_from([None, "a", "b"]))))
def test_names_are_unique_and_printable(regions):
    taken = set()
    named = [(path, None if name in taken else taken.add(name) or name) for path, name in regions]
    names = names_of(*named)
    assert len({POOLED, *names}) == len(names) + 1
    assert all(name and name.isprintable() for name in names)


def test_equal_names_are_numbered_past_those_that_exist():
    assert make_unique(["a", "a 2", "a", "a"]) == ["a", "a 2", "a 3", "a 4"]


@pytest.mark.parametrize("name", ["", "  ", "pooled", "a\nb", "a\x1b[2J", "n" * 81])
def test_names_that_cannot_be_shown_are_errors(name):
    region = {"raw": "r", "labels": "l", "name": name}
    with pytest.raises(ValueError, match="give 1 to 80 printable characters") as caught:
        TrainConfig.from_dict({**BASE, "validation": [region]}, source="t.toml")
    assert "t.toml: 'validation.0.name'" in str(caught.value)
    assert str(caught.value).isprintable()


def test_equal_names_are_an_error():
    regions = [{"raw": f"r{n}", "labels": "l", "name": "cell"} for n in range(2)]
    with pytest.raises(ValueError, match=r"t.toml: two \[\[validation\]\] have the name 'cell'"):
        TrainConfig.from_dict({**BASE, "validation": regions}, source="t.toml")
