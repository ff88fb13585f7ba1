import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asem.config import Config
from asem.volume.id_selection import MAX_ID, IdSelection


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("5,3,4", "3,4,5"),
        ([3, 9, 4], "3,4,9"),
        (["1-2", 7], "1-2,7"),
        (" 8 - 9 , 1", "1,8-9"),
        (4, "4"),
        ("2-6,3,6-8", "2-8"),
    ],
)
def test_ids_and_ranges_are_merged(given, text):
    assert str(IdSelection.parse(given)) == text
    assert IdSelection.parse(text) == IdSelection.parse(given)


@pytest.mark.parametrize("given", ["", "0", "3-1", "-1", "mito", True, 1.5, [[1]], str(MAX_ID + 1)])
def test_what_is_no_id(given):
    with pytest.raises(ValueError, match=r"ids .*: give ids of objects and ranges from 1 on"):
        IdSelection.parse(given)
    with pytest.raises(ValueError, match="0 ids are given"):
        IdSelection.parse([])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=20),
    st.lists(st.integers(0, 300), max_size=30),
)
def test_contains_and_present_agree_with_sets(dtype, selected, voxels):
    largest = np.iinfo(dtype).max
    ids = np.array([min(value, largest) for value in voxels], dtype)
    selection = IdSelection.parse(selected)
    chosen = set(selected)
    assert selection.contains(ids).tolist() == [value in chosen for value in ids.tolist()]
    present = [any(a <= value <= b for value in ids.tolist()) for a, b in selection.ranges]
    assert selection.find_present(ids).tolist() == present


def test_an_id_that_does_not_occur_is_an_error():
    selection = IdSelection.parse("2,4-5,9")
    present = selection.find_present(np.array([2, 5, 8], np.uint64))
    with pytest.raises(ValueError, match=r"cell has no voxel with the ids 9; `asem info --count`"):
        selection.check_present(present, "cell")


def test_settings_are_stored_as_text():
    class Settings(Config):
        ids: IdSelection | None = None

    settings = Settings.from_dict({"ids": [3, "5-6"]}, source="test")
    assert settings.model_dump(mode="json") == {"ids": "3,5-6"}
    assert Settings.model_validate_json(settings.model_dump_json()) == settings
    assert Settings().model_dump(mode="json") == {"ids": None}


def test_large_arrays_are_compared_in_parts(monkeypatch):
    monkeypatch.setattr("asem.volume.id_selection.PART_VOXELS", 4)
    ids = np.arange(30, dtype=np.uint32).reshape(2, 3, 5)[:, ::-1]
    selected = IdSelection.parse("3-7,20,28-40").contains(ids)
    assert (selected == np.isin(ids, [3, 4, 5, 6, 7, 20, 28, 29])).all()
