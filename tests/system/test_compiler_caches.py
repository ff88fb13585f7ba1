"""Installations and homes that cannot be written, and folders that others have made."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from torch._inductor.runtime.cache_dir_utils import cache_dir

import asem
from asem.system import compiler_caches
from asem.system.compiler_caches import (
    CHOSEN_VARIABLE,
    INDUCTOR_VARIABLE,
    NUMBA_VARIABLE,
    is_private_folder,
    make_private_folder,
    set_inductor_cache,
    set_numba_cache,
)

# Root may write anywhere; without capabilities it is a user like any other.
UNPRIVILEGED = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
KERNELS = """
import importlib, os, pkgutil, sys
import asem
for module in pkgutil.walk_packages(asem.__path__, "asem."):
    path = module.module_finder.find_spec(module.name).origin
    if "from numba import" in open(path).read():
        importlib.import_module(module.name)
print(asem.__file__)
print(os.environ.get("NUMBA_CACHE_DIR"))
"""


@pytest.fixture
def fixed(tmp_path):
    """A folder that cannot be written, with an installation and an empty home in it."""
    place = tmp_path / "fixed"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(asem.__file__).parent, place / "site/asem", ignore=ignored)
    (place / "home").mkdir()
    folders = [place, *(path for path in place.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield place
    for folder in folders:
        folder.chmod(0o755)


def run(code, fixed, temporary, **environment):
    own = {
        **os.environ,
        "PYTHONPATH": str(fixed / "site"),
        "HOME": str(fixed / "home/user"),
        "TMPDIR": str(temporary),
        **environment,
    }
    for name in (NUMBA_VARIABLE, CHOSEN_VARIABLE, "XDG_CACHE_HOME"):
        own.pop(name, None)
    own |= environment
    return subprocess.run(
        [*UNPRIVILEGED, sys.executable, *code], env=own, cwd=temporary, capture_output=True,
        text=True,
    )  # fmt: skip


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir(mode=0o755)
    return folder


def test_a_read_only_installation_without_a_home_keeps_kernels_in_a_private_folder(
    fixed, temporary
):
    done = run(["-c", KERNELS],
               fixed, temporary)  # fmt: skip
    assert done.returncode == 0, done.stderr
    package, cache = done.stdout.splitlines()
    assert Path(package).is_relative_to(fixed)
    assert Path(cache) == temporary / f"asem-{os.geteuid()}"
    assert Path(cache).stat().st_mode & 0o777 == 0o700


def test_a_command_runs_there_and_so_do_its_workers(fixed, temporary):
    tifffile.imwrite(temporary / "s.tif", np.zeros((30, 300, 270), np.uint8))
    for words in ([], ["--workers", "1"]):
        done = run(["-m", "asem", "import", "s.tif", f"raw{len(words)}", "--voxel-size", "5",
                    *words], fixed, temporary)  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert list(temporary.glob("asem-*/*/*.nbi"))
    assert not (temporary / "~").exists()


def test_a_folder_that_another_user_could_fill_is_not_taken(fixed, temporary):
    planted = temporary / f"asem-{os.geteuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    code = ["-c", "import os, asem; print(os.environ['NUMBA_CACHE_DIR'])"]
    # Neither by its name, nor where a parent process on another machine names it.
    for given in ({}, {NUMBA_VARIABLE: str(planted), CHOSEN_VARIABLE: str(planted)}):
        done = run(code, fixed, temporary, **given)
        taken = Path(done.stdout.strip())
        assert taken != planted
        assert not list(planted.iterdir())
    (temporary / "real").mkdir(mode=0o700)
    planted.rmdir()
    planted.symlink_to("real")
    assert Path(run(code, fixed, temporary).stdout.strip()) != planted


def test_nothing_changes_where_numba_can_write(fixed, temporary):
    code = ["-c", "import os, asem; print(os.environ.get('NUMBA_CACHE_DIR'))"]
    done = run(code, fixed, temporary, HOME=str(temporary))
    assert done.stdout == "None\n"
    assert (temporary / ".cache/numba").is_dir()
    done = run(code, fixed, temporary, NUMBA_CACHE_DIR=str(temporary / "mine"))
    assert done.stdout == f"{temporary / 'mine'}\n"
    assert not list(temporary.glob("asem-*"))


def test_numba_that_was_loaded_before_is_reported(fixed, temporary):
    code = ["-c", "import numba, asem; from numba.core import config; print(config.CACHE_DIR)"]
    done = run(code, fixed, temporary)
    assert done.stdout == f"{temporary / f'asem-{os.geteuid()}'}\n"


def test_what_is_private(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = make_private_folder()
    assert is_private_folder(folder)
    assert folder == tmp_path / f"asem-{os.geteuid()}"
    folder.chmod(0o750)
    assert not is_private_folder(folder)
    assert not is_private_folder(tmp_path / "nothing")
    tmp_path.chmod(0o777)  # others could rename what is made here
    assert not compiler_caches._is_rename_safe(tmp_path)
    tmp_path.chmod(0o1777)
    assert compiler_caches._is_rename_safe(tmp_path)


def test_a_full_place_is_none(tmp_path):
    (tmp_path / "small").mkdir()
    code = (
        "from pathlib import Path; from asem.system.compiler_caches import _can_store; "
        "print(_can_store(Path('small').resolve()), _can_store(Path('small')))"
    )
    script = f'mount -t tmpfs -o size=16k none small; {sys.executable} -c "{code}"'
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "bash", "-euc", script],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "False False\n", done.stderr


def test_importing_changes_nothing_here(monkeypatch):
    before = dict(os.environ)
    set_numba_cache()
    assert dict(os.environ) == before


def test_what_pytorch_compiles_is_in_a_private_folder(tmp_path, monkeypatch):
    """Its own folder has a name that every user can predict, and create first."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    planted = tmp_path / "torchinductor_me"
    planted.mkdir(mode=0o777)
    for before in (None, str(planted)):
        monkeypatch.delenv(INDUCTOR_VARIABLE, raising=False)
        if before:
            monkeypatch.setenv(INDUCTOR_VARIABLE, before)
        set_inductor_cache()
        chosen = cache_dir()  # as PyTorch reads it
        assert chosen == f"{tmp_path}/asem-{os.geteuid()}/torchinductor"
        assert is_private_folder(Path(chosen).parent)
    monkeypatch.setenv(INDUCTOR_VARIABLE, str(tmp_path / "mine"))
    set_inductor_cache()
    assert cache_dir() == str(tmp_path / "mine")
