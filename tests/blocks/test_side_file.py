"""Files beside an output: those of others stay."""

import pytest

from asem.blocks.side_file import SideFile


@pytest.fixture
def output(tmp_path):
    (tmp_path / "out/.asem").mkdir(parents=True)
    return tmp_path / "out"


def write(file, text):
    with file.write() as stream:
        stream.write(text)


def test_a_file_appears_when_it_is_complete(output, tmp_path):
    file = SideFile(tmp_path / "s/t.csv", output)
    file.begin()
    with pytest.raises(KeyError), file.write() as stream:
        raise KeyError(stream.write("half"))
    assert not list((tmp_path / "s").iterdir())
    write(file, "a")
    assert (tmp_path / "s/t.csv").read_text() == "a"
    assert [path.name for path in (tmp_path / "s").iterdir()] == ["t.csv"]


def test_a_resumed_run_replaces_what_it_wrote_and_nothing_else(output, tmp_path):
    path = tmp_path / "t.csv"
    file = SideFile(path, output)
    file.begin()
    write(file, "a")
    file.check()
    write(file, "a")
    path.write_text("edited")
    for step in (file.check, file.begin):
        with pytest.raises(FileExistsError, match=r"t.csv exists already and was not written by"):
            step()
    other = SideFile(tmp_path / "u.csv", output)
    (tmp_path / "u.csv").write_text("a")  # the same content under another name
    with pytest.raises(FileExistsError, match=r"u.csv exists already"):
        other.check()


def test_a_file_that_appears_while_the_run_works_stays(output, tmp_path):
    path = tmp_path / "t.csv"
    file = SideFile(path, output)
    file.begin()
    with pytest.raises(FileExistsError), file.write() as stream:
        stream.write(path.write_text("theirs") * "mine")
    assert path.read_text() == "theirs"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "t.csv"]


def test_what_was_to_be_overwritten_may_be_after_an_interruption(output, tmp_path):
    """Which is then resumed without --overwrite, so as not to begin again."""
    path = tmp_path / "t.csv"
    path.write_text("a,b\nold")
    with pytest.raises(FileExistsError):
        SideFile(path, output).check()
    SideFile(path, output, overwrite=True, header="a,b").begin()
    resumed = SideFile(path, output)
    resumed.begin()
    write(resumed, "new")
    assert path.read_text() == "new"


def test_what_takes_the_place_of_the_file_to_overwrite_stays(output, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\nold")
    file = SideFile(path, output, overwrite=True, header="a,b")
    file.begin()
    path.write_text("a,b\ntheirs")
    with pytest.raises(FileExistsError, match=r"t.csv exists already .*it appeared meanwhile"):
        write(file, "new")
    assert path.read_text() == "a,b\ntheirs"


def test_folders_and_links_are_not_replaced(output, tmp_path):
    (tmp_path / "t").mkdir()
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="t is a folder; name a file"):
            SideFile(tmp_path / "t", output, overwrite).check()
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="link exists already"):
        SideFile(tmp_path / "link", output).check()
    (tmp_path / "table").write_text("a,b\n")
    (tmp_path / "to a table").symlink_to("table")
    with pytest.raises(FileExistsError, match="to a table is no file that asem wrote"):
        SideFile(tmp_path / "to a table", output, overwrite=True, header="a,b").check()


def test_a_damaged_record_is_told(output, tmp_path):
    (tmp_path / "t.csv").write_text("a")
    (output / ".asem/beside.json").write_text("{")
    with pytest.raises(OSError, match=r"beside.json is damaged: .*; begin again with --overwrite"):
        SideFile(tmp_path / "t.csv", output).check()
