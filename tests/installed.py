"""The package as users install it: a wheel, in an environment of its own."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parent.parent


def install_wheel(folder):
    """Build and install a wheel of this source; return a function that runs its `asem`.

    The environment finds all other packages where this one has them. An editable installation of
    this source is not found: its ``.pth`` file is not read from there.
    """
    python = [sys.executable, "-m"]
    run([*python, "venv", "--without-pip", folder / "venv"])
    run([*python, "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation", "--no-index",
         "--wheel-dir", folder, ROOT])  # fmt: skip
    (wheel,) = folder.glob("asem-*.whl")
    run([*python, "pip", "--quiet", "--python", folder / "venv", "install", "--no-deps",
         "--no-index", "--no-warn-script-location", wheel])  # fmt: skip
    base = dict.fromkeys(("base", "platbase"), str(folder / "venv"))
    paths = sysconfig.get_paths("venv", base)
    (Path(paths["purelib"]) / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def asem(*words):
        command = [Path(paths["scripts"]) / "asem", *words]
        return subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False
        )

    return asem


def run(words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
