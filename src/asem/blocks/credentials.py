"""Certificates for the workers of one run, in files that only this user can read."""

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

from asem.system.files import write_private

NAME = ".asem-tls-"
"""How the folder of a run begins; host, process and a random part follow."""


@contextmanager
def temporary_credentials(shared_folder: str | None = None) -> Iterator[Security]:
    """Make a certificate and its key for the time of the context, in a folder that jobs can read.

    The command line of a job has the paths of the files, never what they hold. What processes of
    this machine left that were killed is deleted, too.

    Parameters
    ----------
    shared_folder
        Where the jobs see the files under the same path; None: the home.

    Yields
    ------
    Security
        For the scheduler, the workers and the clients alike: each trusts this certificate only.

    Raises
    ------
    ValueError
        Others could exchange the files, or the path does not fit into a job's command.
    OSError
        The folder cannot be written.
    """
    place = Path(shared_folder or Path.home()).expanduser().resolve()
    _refuse_unsafe(place)
    _delete_left(place)
    made = Security.temporary()
    owner = f"{NAME}{socket.gethostname()}-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=owner, dir=place) as folder:
        certificate, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        write_private(certificate, made.tls_ca_file)
        write_private(key, made.tls_worker_key)
        files = {
            f"tls_{role}_{what}": str(path)
            for role in ("client", "scheduler", "worker")
            for what, path in (("cert", certificate), ("key", key))
        }
        yield Security(require_encryption=True, tls_ca_file=str(certificate), **files)


def _refuse_unsafe(place: Path) -> None:
    instead = "give shared_folder one of yours that the jobs see"
    if shlex.quote(str(place)) != str(place):
        raise ValueError(
            f"the path {str(place)!r} does not fit into a job's command (letters, digits and "
            f"_ . , : + @ / = % - are allowed); {instead}"
        )
    mode = place.stat().st_mode
    if not stat.S_ISDIR(mode):
        raise NotADirectoryError(f"shared_folder {place} is no folder; {instead}")
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        raise ValueError(
            f"others can write in {place}, and exchange the certificate of the run there; {instead}"
        )


def _delete_left(place: Path) -> None:
    """Delete the folders of processes of this machine and user that ended without doing so."""
    prefix = f"{NAME}{socket.gethostname()}-"
    for entry in os.scandir(place):
        process = re.match(rf"{re.escape(prefix)}([0-9]{{1,9}})-", entry.name)
        if process is None:
            continue
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # another command has deleted it
            continue
        mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
        if mine and not psutil.pid_exists(int(process[1])):
            shutil.rmtree(entry.path, ignore_errors=True)
