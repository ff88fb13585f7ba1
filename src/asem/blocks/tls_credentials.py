"""Temporary TLS certificates for the workers of one run, readable by this user only."""

import os
import re
import shlex
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from distributed.security import Security

from asem.system.files import write_private_file

FOLDER_PREFIX = ".asem-tls-"
"""Prefix of the folder name of a run; host, process and a random part follow."""


@contextmanager
def temporary_credentials(shared_folder: str | None = None) -> Iterator[Security]:
    """Make a certificate and its key, in a folder that jobs can read, until the context exits.

    The command line of a job contains the paths of the files, never their content. Files of killed
    processes of this machine are deleted, too.

    Parameters
    ----------
    shared_folder
        Folder that has the same path for the jobs; None: the home folder.

    Yields
    ------
    Security
        For the scheduler, the workers and the clients: each trusts only this certificate.

    Raises
    ------
    ValueError
        Other users could replace the files, or the path is not valid in a job's command.
    OSError
        The folder cannot be written.
    """
    parent = Path(shared_folder or Path.home()).expanduser().resolve()
    _check_safe_folder(parent)
    _delete_leftovers(parent)
    temporary = Security.temporary()
    owner = f"{FOLDER_PREFIX}{socket.gethostname()}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=owner, dir=parent) as folder:
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        write_private_file(certificate, temporary.tls_ca_file)
        write_private_file(key, temporary.tls_worker_key)
        files = {
            f"tls_{role}_{what}": str(path)
            for role in ("client", "scheduler", "worker")
            for what, path in (("cert", certificate), ("key", key))
        }
        yield Security(require_encryption=True, tls_ca_file=str(certificate), **files)


def _check_safe_folder(folder: Path) -> None:
    advice = "set shared_folder to a folder of your own that the jobs can read"
    if shlex.quote(str(folder)) != str(folder):
        raise ValueError(
            f"the path {str(folder)!r} does not fit into a job's command (letters, digits and "
            f"_ . , : + @ / = % - are allowed); {advice}"
        )
    mode = folder.stat().st_mode
    if not stat.S_ISDIR(mode):
        raise NotADirectoryError(f"shared_folder {folder} is not a folder; {advice}")
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        raise ValueError(
            f"others can write in {folder}, and replace the certificate of the run; {advice}"
        )


def _delete_leftovers(parent: Path) -> None:
    """Delete the folders that killed processes of this machine and user left."""
    prefix = f"{FOLDER_PREFIX}{socket.gethostname()}-"
    for entry in os.scandir(parent):
        process = re.match(rf"{re.escape(prefix)}([0-9]{{1,9}})-", entry.name)
        if process is None:
            continue
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # another command has deleted it
            continue
        is_own_folder = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
        if is_own_folder and not psutil.pid_exists(int(process[1])):
            shutil.rmtree(entry.path, ignore_errors=True)
