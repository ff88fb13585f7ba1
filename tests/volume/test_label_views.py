import pickle

import numpy as np
import pytest

from asem.volume.id_selection import IdSelection
from asem.volume.label_views import select_ids, view_as_image, view_as_labels
from asem.volume.volume import Volume

ALL = (slice(None),) * 3


def box(values, dtype):
    return np.array(values, dtype).reshape(1, 1, -1)


def read(view):
    """Read a view after it was pickled, as a worker does."""
    copy = pickle.loads(pickle.dumps(view))
    voxels = copy[ALL]
    assert copy.shape == voxels.shape
    assert copy.dtype == voxels.dtype
    return voxels.ravel().tolist(), str(voxels.dtype)


def test_images_of_other_dtypes_are_cast():
    assert read(view_as_image(box([0, 0.5], np.float16))) == ([0, 0.5], "float32")
    assert read(view_as_image(box([0, 1], np.bool_))) == ([0, 1], "uint8")
    grey = box([-3, 7], np.int16)
    assert view_as_image(grey) is grey


def test_labels_are_unsigned_and_the_largest_value_is_unlabelled():
    assert read(view_as_labels(box([0, 5, 127], np.int8), "l")) == ([0, 5, 255], "uint8")
    assert read(view_as_labels(box([0, 2**63 - 1], np.int64), "l")) == ([0, 2**64 - 1], "uint64")
    assert read(view_as_labels(box([0, 1], np.bool_), "l")) == ([0, 1], "uint8")
    ids = box([0, 5, 255], np.uint8)
    assert view_as_labels(ids, "l") is ids


def test_stated_values_of_background_and_unlabelled_voxels():
    view = view_as_labels(box([0, 1, 7, 9], np.uint8), "l", unlabelled=(0, 7), background=(9,))
    assert read(view) == ([255, 1, 255, 0], "uint8")
    view = view_as_labels(box([-1, -2, 3], np.int32), "l", unlabelled=(-1,), background=(-2,))
    assert read(view) == ([2**32 - 1, 0, 3], "uint32")
    view = view_as_labels(box([0, 1, 255], np.uint8), "l", unlabelled=(0,), background=(255,))
    assert read(view) == ([255, 1, 0], "uint8")


def test_a_negative_value_is_named_with_its_position():
    view = view_as_labels(np.array([[[0, 1], [2, -7]]], np.int16), "cell")
    with pytest.raises(ValueError, match=r"holds -7 at \(z, y, x\) = \(0, 1, 1\); labels are"):
        view[slice(0, 1), slice(1, 2), slice(0, 2)]
    with pytest.raises(ValueError, match=r"if -1 is unlabelled, import it .*--unlabelled -1"):
        view_as_labels(box([-1], np.int8), "cell")[ALL]


def test_float_labels_are_imported_first():
    with pytest.raises(ValueError, match=r"is float32, and labels are integers; import it"):
        view_as_labels(box([1], np.float32), "cell")


def test_selected_ids_are_foreground_and_unlabelled_voxels_stay():
    labels = Volume(box([0, 3, 4, 5, 65535], np.uint16), (1.0, 1.0, 1.0), kind="labels")
    selected = select_ids(labels, IdSelection.parse("3,5"))
    assert read(selected.array) == ([0, 1, 0, 1, 255], "uint8")
    assert select_ids(labels, None) is labels
    for ids in ("65535", "70000"):
        with pytest.raises(ValueError, match="whose ids end at 65534; 65535 is unlabelled"):
            select_ids(labels, IdSelection.parse(ids))
