"""Files of certificates: allowed folders, permissions, and deletion."""

import os
import socket
import stat

import pytest

from asem.blocks.tls_credentials import temporary_credentials


def test_the_files_are_private_and_deleted(tmp_path):
    with temporary_credentials(str(tmp_path)) as security:
        (folder,) = tmp_path.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for path in folder.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert security.require_encryption
        for role in ("client", "scheduler", "worker"):
            security.get_listen_args(role)  # reads them
    assert list(tmp_path.iterdir()) == []


def test_the_home_folder_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with temporary_credentials() as security:
        assert security.tls_ca_file.startswith(str(tmp_path))


def test_a_folder_in_which_others_can_write_is_an_error(tmp_path):
    tmp_path.chmod(0o770)
    with (
        pytest.raises(ValueError, match="others can write in"),
        temporary_credentials(str(tmp_path)),
    ):
        pass
    tmp_path.chmod(0o1777)  # with the sticky bit, others cannot rename these files
    with temporary_credentials(str(tmp_path)):
        pass


def test_a_path_that_does_not_fit_into_a_command_is_an_error(tmp_path):
    for name in ("a b", "$(id)", "a;id", "a\nb"):
        (tmp_path / name).mkdir()
        with (
            pytest.raises(ValueError, match="does not fit into a job's command"),
            temporary_credentials(str(tmp_path / name)),
        ):
            pass
    with pytest.raises(FileNotFoundError), temporary_credentials(str(tmp_path / "none")):
        pass
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError), temporary_credentials(str(tmp_path / "file")):
        pass


def test_leftovers_of_a_dead_process_are_deleted_and_no_other_files(tmp_path):
    host = socket.gethostname()
    dead = tmp_path / f".asem-tls-{host}-999999999-abc"
    dead.mkdir()
    (dead / "key.pem").touch()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").touch()
    others = [
        tmp_path / f".asem-tls-{host}-{os.getpid()}-abc",
        tmp_path / ".asem-tls-another-host-999999999-abc",
        tmp_path / f".asem-tls-{host}-own-abc",
        tmp_path / ".asem-tls",
    ]
    for path in others:
        path.mkdir()
    link = tmp_path / f".asem-tls-{host}-999999998-abc"
    link.symlink_to(precious)
    with temporary_credentials(str(tmp_path)):
        pass
    assert set(tmp_path.iterdir()) == {precious, link, *others}
    assert (precious / "thesis.tex").exists()
