"""`.ci/screen`, which `make test` calls, with an `apt-get` that notes how it is called."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCREEN = Path(__file__).parent.parent / ".ci/screen"
APT_GET = """#!/bin/sh
case "$*" in
  *--simulate*) {simulate} ;;
  *) echo "$*" >> called; {install} ;;
esac
"""
MISSING, PRESENT = "echo 'Inst xvfb (2 Debian [amd64])'", "echo '0 newly installed'"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs bash and Linux's tools")


@pytest.fixture
def screen(tmp_path):
    """Run the script as a user, with commands of this test alone."""
    for name in ("bash", "sh", "grep", "env"):
        (tmp_path / name).symlink_to(shutil.which(name))

    def command(name, text):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def run(*, uid, ci="", simulate=None, install="true", sudo=False):
        command("id", f"#!/bin/sh\necho {uid}\n")
        if simulate is not None:
            command("apt-get", APT_GET.format(simulate=simulate, install=install))
        if sudo:
            command("sudo", '#!/bin/sh\nshift\nexec "$@"\n')
        environ = {**os.environ, "PATH": str(tmp_path), "CI": ci}
        words = ["bash", SCREEN]
        done = subprocess.run(
            words, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
        called = tmp_path / "called"
        installed = called.exists() and "install --no-install-recommends" in called.read_text()
        return done.returncode, done.stdout + done.stderr, installed

    return run


@pytest.mark.parametrize("uid", [0, 1000])
def test_where_all_is_there_nothing_is_done_or_said(screen, uid):
    assert screen(uid=uid, simulate=PRESENT) == (0, "", False)


@pytest.mark.parametrize("simulate", [MISSING, "exit 100"], ids=["missing", "no lists"])
def test_root_installs(screen, simulate):
    code, output, installed = screen(uid=0, simulate=simulate)
    assert (code, installed) == (0, True)
    assert "installing g++ python3-dev xvfb xdotool" in output


def test_other_users_get_the_command_in_one_line(screen):
    code, output, installed = screen(uid=1000, simulate=MISSING, sudo=True)
    assert (code, installed) == (0, False)
    (line,) = [line for line in output.splitlines() if "apt-get install" in line]
    assert line.startswith(
        "sudo apt-get install --no-install-recommends g++ python3-dev xvfb xdotool "
    )
    assert "libxcb-cursor0" in line


def test_ci_installs_by_sudo_and_fails_without(screen):
    code, output, installed = screen(uid=1000, ci="true", simulate=MISSING)
    assert (code, installed) == (1, False)
    assert "without root or sudo nothing can be installed" in output
    code, _, installed = screen(uid=1000, ci="true", simulate=MISSING, sudo=True)
    assert (code, installed) == (0, True)


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_an_apt_get_that_fails_is_a_fault_only_in_ci(screen, ci, code):
    found, output, _ = screen(uid=0, ci=ci, simulate=MISSING, install="exit 100")
    assert found == code
    assert "apt-get failed; the tests that need these packages are skipped" in output


def test_another_system_gets_the_names_of_debian_packages(screen):
    code, output, _ = screen(uid=0)
    assert code == 0
    assert "no apt-get here" in output
    assert "xvfb xdotool" in output
