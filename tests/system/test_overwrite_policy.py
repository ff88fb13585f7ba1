"""What --overwrite replaces, and that no message suggests it in vain."""

import re
from functools import partial

import pytest

from asem.system.folder_snapshot import find_foreign_file
from asem.system.overwrite_policy import OutputKind

STACK = OutputKind("a stack", partial(find_foreign_file, known_pattern=re.compile(r"plane\d")))
FILE = OutputKind(
    "a plane", lambda path: None if path.name.startswith("plane") else path.relative_to(path),
    is_file=True,
)  # fmt: skip


@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_and_an_empty_folder_may_be_written(tmp_path, overwrite):
    STACK.check_replaceable(tmp_path / "new", overwrite=overwrite)
    STACK.check_replaceable(tmp_path, overwrite=overwrite)
    FILE.check_replaceable(tmp_path / "new", overwrite=overwrite)
    with pytest.raises(FileExistsError, match="is not a plane of asem"):  # a folder is no file
        FILE.check_replaceable(tmp_path, overwrite=overwrite)


def test_an_output_is_replaced_with_overwrite(tmp_path):
    (tmp_path / "plane0").touch()
    for kind, path in ((STACK, tmp_path), (FILE, tmp_path / "plane0")):
        kind.check_deletable(path)
        kind.check_replaceable(path, overwrite=True)
        with pytest.raises(FileExistsError) as caught:
            kind.check_replaceable(path, overwrite=False)
        assert str(caught.value) == f"{path} exists already; give --overwrite to replace it"


@pytest.mark.parametrize("overwrite", [False, True])
def test_foreign_files_are_never_replaced(tmp_path, overwrite):
    (tmp_path / "plane0").touch()
    (tmp_path / "thesis").touch()
    for kind, path, message in (
        (STACK, tmp_path, "holds more than a stack (thesis); it is not replaced, even with "
                          "--overwrite: move that away, or give another path"),
        (STACK, tmp_path / "thesis", "exists already and is not a stack of asem; it is not "
                                     "replaced, even with --overwrite: give another path"),
        (FILE, tmp_path / "thesis", "exists already and is not a plane of asem; it is not "
                                    "replaced, even with --overwrite: give another path"),
    ):  # fmt: skip
        with pytest.raises(FileExistsError) as caught:
            kind.check_replaceable(path, overwrite=overwrite)
        assert str(caught.value) == f"{path} {message}"
