import numpy as np
import pytest

from asem.volume.roi import Roi

HERE = Roi((0, 0, 0), (2, 3, 4))


@pytest.mark.parametrize("damage", [b"", b"PK\3\4 no", b"\0" * 100])
def test_damaged_labels(annotation, damage):
    annotation.accept_window(HERE, np.ones(HERE.shape, bool))
    annotation.accepted_windows[HERE].write_bytes(damage)
    with pytest.raises(OSError, match=r"0-4\.npz is damaged; accept the window 0:2,0:3,0:4 again"):
        annotation.read_labels(HERE)
    annotation.accepted_windows[HERE].unlink()
    with pytest.raises(FileNotFoundError, match=r"0-4\.npz"):
        annotation.read_labels(HERE)


@pytest.mark.parametrize("damage", ["missing", "cut", "text", "list", "no array"])
def test_a_file_without_its_initial_model_is_named_in_a_warning(annotation, caplog, damage):
    annotation.accept_window(HERE, np.ones(HERE.shape, bool), {"network": "runs/mito"})
    file = annotation.accepted_windows[HERE]
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-30])
    elif damage == "no array":
        np.savez(file, foreground=np.ones(HERE.shape, bool))
    else:
        by = {"text": "{", "list": "[1]"}[damage]
        np.savez(file, foreground=np.ones(HERE.shape, bool), begun_by=np.array(by))
    assert annotation.read_initial_model(HERE) is None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert str(file) in record.getMessage()
    assert "accept the window 0:2,0:3,0:4 again" in record.getMessage()


@pytest.mark.parametrize(
    "labels", [np.ones((1, 1, 1), bool), np.ones(HERE.shape, np.uint8), np.ones(3, bool)]
)
def test_labels_of_another_shape_or_dtype(annotation, labels):
    annotation.accept_window(HERE, np.ones(HERE.shape, bool))
    np.savez(annotation.accepted_windows[HERE], foreground=labels)
    with pytest.raises(OSError, match=r"0-4\.npz is damaged; accept the window .* not bool of 2 x"):
        annotation.read_labels(HERE)
