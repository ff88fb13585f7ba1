"""Files written with an output: foreign files are not replaced."""

import pytest

from asem.blocks.sidecar_file import SidecarFile


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out/.asem").mkdir(parents=True)
    return tmp_path / "out"


def write(file, text):
    with file.write() as stream:
        stream.write(text.encode())


def test_a_file_appears_when_it_is_complete(output, tmp_path):
    file = SidecarFile(tmp_path / "s/t.csv", output)
    file.prepare()
    with pytest.raises(KeyError), file.write() as stream:
        raise KeyError(stream.write(b"half"))
    assert not list((tmp_path / "s").iterdir())
    write(file, "a")
    assert (tmp_path / "s/t.csv").read_text() == "a"
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["t.csv"]


def test_a_resumed_run_replaces_only_the_file_that_it_wrote(output, tmp_path):
    path = tmp_path / "t.csv"
    file = SidecarFile(path, output)
    file.prepare()
    write(file, "a")
    file.check()
    write(file, "a")
    path.write_text("edited")
    for step in (file.check, file.prepare):
        with pytest.raises(FileExistsError, match=r"t.csv exists already and is not a table of"):
            step()
    other = SidecarFile(tmp_path / "u.csv", output)
    (tmp_path / "u.csv").write_text("a")  # the same content under another name
    with pytest.raises(FileExistsError, match=r"u.csv exists already"):
        other.check()


def test_a_file_that_appears_during_the_run_is_not_replaced(output, tmp_path):
    path = tmp_path / "t.csv"
    file = SidecarFile(path, output)
    file.prepare()
    with pytest.raises(FileExistsError), file.write() as stream:
        stream.write(path.write_text("foreign") * b"own")
    assert path.read_text() == "foreign"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "t.csv"]


def test_a_resumed_run_replaces_the_file_to_overwrite(output, tmp_path):
    """The run is then resumed without --overwrite, which would restart it."""
    path = tmp_path / "t.csv"
    path.write_text("a,b\nold")
    with pytest.raises(FileExistsError):
        SidecarFile(path, output).check()
    SidecarFile(path, output, overwrite=True, header="a,b").prepare()
    resumed = SidecarFile(path, output)
    resumed.prepare()
    write(resumed, "new")
    assert path.read_text() == "new"


def test_a_file_that_replaced_the_file_to_overwrite_is_not_replaced(output, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\nold")
    file = SidecarFile(path, output, overwrite=True, header="a,b")
    file.prepare()
    path.write_text("a,b\nforeign")
    with pytest.raises(FileExistsError, match=r"t.csv appeared while it was being made"):
        write(file, "new")
    assert path.read_text() == "a,b\nforeign"


def test_folders_and_links_are_not_replaced(output, tmp_path):
    (tmp_path / "t").mkdir()
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="t exists already and is not a table of asem"):
            SidecarFile(tmp_path / "t", output, overwrite).check()
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="link exists already"):
        SidecarFile(tmp_path / "link", output).check()
    (tmp_path / "table").write_text("a,b\n")
    (tmp_path / "to a table").symlink_to("table")
    with pytest.raises(FileExistsError, match="to a table exists already and is not a table"):
        SidecarFile(tmp_path / "to a table", output, overwrite=True, header="a,b").check()


def test_a_damaged_record_is_an_error(output, tmp_path):
    (tmp_path / "t.csv").write_text("a")
    (output / ".asem/beside.json").write_text("{")
    with pytest.raises(OSError, match=r"beside.json is damaged: .*; give --overwrite to restart"):
        SidecarFile(tmp_path / "t.csv", output).check()
