import numpy as np
import pytest

from asem.annotate.edits import Stroke
from asem.annotate.session import AnnotationSession
from asem.volume.roi import Roi

SHAPE = (4, 5, 6)
HERE = Roi((0, 0, 0), (2, 3, 4))


def dot(*at, label=1, radius=0):
    return Stroke(label, axis=0, radius=radius, square=True, path=(at,))


def test_a_volume_larger_than_any_memory(tmp_path):
    edge = 900_000
    with AnnotationSession.open(tmp_path, {"uuid": 1}, (edge, edge, edge)) as session:
        annotation = session.open_structure("mito")
        annotation.add_edit(Stroke(1, 1, 2, False, ((9, 9, 9), (edge, 9, edge))))
        window = Roi((500_000, 9, 500_000), (3, 1, 3))
        assert (annotation.stroke_labels(window) == 1).all()
        annotation.accept_window(window, annotation.stroke_labels(window) == 1)
        assert annotation.read_labels(window).all()


def test_structures(tmp_path):
    with AnnotationSession.open(tmp_path / "a/b", "raw", SHAPE) as session:
        assert session.structures == ()
        for name in ("nuc-1", "mito", "_ER.2"):
            session.open_structure(name)
        session.open_structure("mito").add_edit(dot(0, 0, 0))
        assert session.open_structure("mito") is session.open_structure("mito")
        assert session.structures == ("_ER.2", "mito", "nuc-1")
    with AnnotationSession.open(tmp_path / "a/b", "raw", SHAPE) as session:
        assert session.structures == ("_ER.2", "mito", "nuc-1")
        assert session.open_structure("mito").edits == (dot(0, 0, 0),)
        assert session.open_structure("nuc-1").edits == ()


@pytest.mark.parametrize("name", ["", ".", "..", ".asem", "a/b", "a b", "a\n", "é"])
def test_names_of_structures(session, name):
    with pytest.raises(
        ValueError, match="is no name of a structure; use letters, digits, _, - and"
    ):
        session.open_structure(name)
    assert [path.name for path in session.folder.iterdir()] == [".asem"]


@pytest.mark.parametrize(
    ("raw", "shape", "message"),
    [
        (
            "other",
            SHAPE,
            "raw: {'id': 1, 'at': \\[2\\]} then, other now; shape: \\[4, 5, 6\\] then",
        ),
        ({"id": 1, "at": (2,)}, (4, 5, 7), r"shape: \[4, 5, 6\] then, \[4, 5, 7\] now"),
    ],
)
def test_a_session_of_another_raw(tmp_path, raw, shape, message):
    raw_identity = {"id": 1, "at": (2,)}
    AnnotationSession.open(tmp_path, raw_identity, SHAPE).close()
    with pytest.raises(ValueError, match=f"{tmp_path} is a session of another raw .*{message}"):
        AnnotationSession.open(tmp_path, raw, shape)
    AnnotationSession.open(tmp_path, raw_identity, SHAPE).close()


@pytest.mark.parametrize("text", ["", "{", "[1]", "7"])
def test_a_damaged_description(tmp_path, text):
    AnnotationSession.open(tmp_path, "raw", SHAPE).close()
    (tmp_path / ".asem/session.json").write_text(text)
    with pytest.raises(ValueError, match=r"session.json has no identity of the session's raw"):
        AnnotationSession.open(tmp_path, "raw", SHAPE)


def test_a_session_that_is_open(session):
    message = f"{session.folder} is open elsewhere; close it there, or give another folder"
    with pytest.raises(BlockingIOError, match=message):
        AnnotationSession.open(session.folder, "raw", SHAPE)


def test_a_bad_shape_creates_nothing(tmp_path):
    with pytest.raises(ValueError, match="negative shape"):
        AnnotationSession.open(tmp_path / "session", "raw", (1, -1, 1))
    assert not (tmp_path / "session").exists()


def test_a_closed_session_changes_nothing(tmp_path):
    with AnnotationSession.open(tmp_path, "raw", SHAPE) as session:
        annotation = session.open_structure("mito")
        annotation.add_edit(dot(0, 0, 0))
    with pytest.raises(ValueError, match=r"the session .* is closed; open it again"):
        session.open_structure("er")
    for change in (annotation.undo, lambda: annotation.add_edit(dot(0, 0, 1))):
        with pytest.raises(ValueError, match="closed"):
            change()
    with pytest.raises(ValueError, match="mito is closed; open its session again"):
        annotation.accept_window(HERE, np.ones(HERE.shape, bool))
    assert annotation.edits == (dot(0, 0, 0),)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        ".asem",
        "lock",
        "log.jsonl",
        "mito",
        "session.json",
    ]
