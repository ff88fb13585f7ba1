"""Commands on disks that are small or read-only, mounted for them alone."""

import subprocess
import sys

import pytest

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


def in_namespace(script, cwd):
    """Run a script as root of a namespace with its own mounts."""
    allowed = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True)
    if allowed.returncode:
        pytest.skip(f"no disk can be mounted here: {allowed.stderr.strip()}")
    return subprocess.run(
        [*NAMESPACE, "bash", "-euc", script],
        cwd=cwd, capture_output=True, text=True,
    )  # fmt: skip


ASEM = f"{sys.executable} -m asem"
