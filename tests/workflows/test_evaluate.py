import numpy as np
import pytest
import tifffile

from asem.workflows.evaluate import evaluate_volume
from asem.workflows.importing import import_volume


@pytest.fixture
def store(tmp_path):
    def make(name, voxels, **place):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.asarray(voxels), photometric="minisblack")
        options = {"voxel_size": (5.0, 5.0, 5.0), "kind": "labels", **place}
        import_volume(tmp_path / f"{name}.tif", tmp_path / name, **options)
        return tmp_path / name

    return make


def row(*values):
    return np.array([[values]], np.uint8)


def test_by_hand(store):
    truth = store("t", row(0, 0, 0, 1, 1, 1, 1, 0, 0, 0))
    prediction = store("p", row(1, 0, 1, 1, 1, 0, 1, 0, 0, 0))
    scores = evaluate_volume(prediction, truth, zone_out_nm=5, zone_in_nm=5)
    # Outside of the zone are columns 0, 1, 4, 5, 8, 9.
    assert scores["exclusion_zone"] == {
        "precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "iou": 1 / 3, "voxels": 6,
    }  # fmt: skip
    assert scores["all"] == {
        "precision": 3 / 5, "recall": 3 / 4, "f1": 6 / 9, "iou": 3 / 6, "voxels": 10,
    }  # fmt: skip
    assert scores["zone"] == {"out_nm": 5, "in_nm": 5, "shape": "diamond"}


def test_a_probability_counts_from_128(store):
    truth = store("t", row(1, 1, 0, 0))
    prediction = store("p", row(128, 127, 255, 0), kind="image")
    assert evaluate_volume(prediction, truth)["all"]["f1"] == 1 / 2
    assert evaluate_volume(prediction, truth)["exclusion_zone"] is None


def test_only_the_common_part_is_scored_and_nothing_unknown(store):
    truth = store("t", row(1, 1, 255, 0), offset_nm=(0.0, 0.0, 10.0))
    prediction = store("p", row(1, 1, 1, 0, 1))
    mask = store("m", row(1, 1, 1, 1), offset_nm=(0.0, 0.0, 5.0))
    scores = evaluate_volume(prediction, truth)["all"]
    assert (scores["voxels"], scores["recall"]) == (2, 1 / 2)
    assert evaluate_volume(prediction, truth, mask=mask)["all"]["voxels"] == 2
    assert evaluate_volume(prediction, truth, roi=":,:,3:")["all"]["voxels"] == 1


def test_labels_beyond_the_prediction_make_zone_inside_it(store):
    truth = store("t", row(1, 1, 0, 0, 0, 0))
    prediction = store("p", row(0, 0, 0, 0), offset_nm=(0.0, 0.0, 10.0))
    scores = evaluate_volume(prediction, truth, zone_out_nm=10, zone_in_nm=5)
    assert scores["exclusion_zone"]["voxels"] == 2


def test_a_zone_thinner_than_half_a_plane_leaves_planes_alone(store, caplog):
    """20 nm at planes of 50 nm: voxels of the planes above and below an object are scored."""
    labels = np.zeros((3, 1, 12), np.uint8)
    labels[1] = 1
    size = {"voxel_size": (50.0, 5.0, 5.0)}
    truth, prediction = store("t", labels, **size), store("p", labels, **size)
    scores = evaluate_volume(prediction, truth, structure_name="mito")
    assert scores["exclusion_zone"]["voxels"] == labels.size
    (warning, inside) = [record.message for record in caplog.records]
    assert "mito: the exclusion zone outside of 20 nm" in warning
    assert "along z (voxels of 50 nm)" in warning
    assert "inside" in inside


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"structure_name": "mito", "zone_out_nm": 5}, "not both"),
        ({"zone_out_nm": 5}, "give both"),
        ({"zone_out_nm": 5, "zone_in_nm": -1}, "at least 0 nm"),
        ({"structure_name": "mitos"}, "unknown structure"),
        ({"roi": "0:2,:,:"}, "leaves the volume"),
    ],
)
def test_bad_options(store, options, message):
    truth = store("t", row(1, 0))
    with pytest.raises(ValueError, match=message):
        evaluate_volume(truth, truth, **options)


def test_what_cannot_be_scored(store):
    truth, prediction = store("t", row(1, 0)), store("p", row(9, 0), kind="image")
    with pytest.raises(ValueError, match="import labels with --kind labels"):
        evaluate_volume(truth, prediction)
    far = store("far", row(1, 0), offset_nm=(0.0, 50.0, 0.0))
    with pytest.raises(ValueError, match="no voxel in common"):
        evaluate_volume(far, truth)
    other = store("other", row(1, 0), voxel_size=(6.0, 5.0, 5.0))
    with pytest.raises(ValueError, match="must have one voxel size"):
        evaluate_volume(other, truth)


def test_exchanged_axes_are_warned_of(store, caplog):
    truth = store("t", np.ones((2, 3, 4), np.uint8))
    prediction = store("p", np.ones((2, 4, 3), np.uint8))
    assert evaluate_volume(prediction, truth)["all"]["voxels"] == 2 * 3 * 3
    (line,) = (text for text in caplog.messages if "same position" in text)
    assert "axes y and x exchanged?" in line
    assert "2 x 4 x 3 voxels (10 x 20 x 15 nm" in line
