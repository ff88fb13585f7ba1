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
         "--no-index", "--no-compile", "--no-warn-script-location", wheel])  # fmt: skip
    base = dict.fromkeys(("base", "platbase"), str(folder / "venv"))
    paths = sysconfig.get_paths("venv", base)
    share_caches(Path(paths["purelib"], "asem"), ROOT / "src/asem")
    (Path(paths["purelib"]) / "shared.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def asem(*words):
        command = [Path(paths["scripts"]) / "asem", *words]
        return subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, check=False
        )

    return asem


def share_caches(package, source):
    """Let modules of an installed package use what Python and numba have compiled of equal ones.

    That is in ``__pycache__``, and is valid for modules of the same size and time. The demo would
    compile its kernels for half a minute.
    """
    for module in package.rglob("*.py"):
        original = source / module.relative_to(package)
        assert original.read_bytes() == module.read_bytes(), f"{module} is not {original}"
        times = original.stat()
        os.utime(module, ns=(times.st_atime_ns, times.st_mtime_ns))
        cache, shared = module.parent / "__pycache__", original.parent / "__pycache__"
        if not cache.exists():
            shared.mkdir(exist_ok=True)
            cache.symlink_to(shared)


def run(words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
