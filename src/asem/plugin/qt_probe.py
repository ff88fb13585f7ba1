"""Load what a window needs in a process of its own, because Qt ends the process without it.

``python -m asem.plugin.qt_probe [--start]`` prints one JSON object: ``missing``, the names of
shared libraries that are needed and the loader does not find, and ``error``, what Python or the
loader reports; both are empty where Qt loads. With ``--start`` Qt is started, too: where no window
can be opened, Qt writes why on stderr and the process ends by SIGABRT.
"""

import ctypes
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

BINDINGS = ("PySide6", "PyQt6")
MODULES = ("QtGui", "QtWidgets", "QtOpenGL", "QtOpenGLWidgets", "QtSvg")
NOT_FOUND = "=> not found"
OPENMP = re.compile(r"libgomp\.so\.1")
PR_SET_DUMPABLE = 4
"""Option of ``prctl(2)``: whether the process may leave a core file."""


def platform_names(environ: Mapping[str, str]) -> list[str]:
    """Return the platform plugins that Qt tries, the first that starts is taken.

    >>> platform_names({"QT_QPA_PLATFORM": "wayland;offscreen:size=10x10"})
    ['wayland', 'offscreen']
    >>> platform_names({"DISPLAY": ":0"}), platform_names({"WAYLAND_DISPLAY": "wayland-0"})
    (['xcb'], ['wayland', 'xcb'])
    """
    stated = environ.get("QT_QPA_PLATFORM", "")
    if stated:
        return [name.partition(":")[0] for name in stated.split(";")]
    wayland = environ.get("WAYLAND_DISPLAY") or environ.get("XDG_SESSION_TYPE") == "wayland"
    return ["wayland", "xcb"] if wayland else ["xcb"]


def missing_libraries(files: Iterable[Path]) -> list[str]:
    """Return the shared libraries that `files` need, or what they load needs, and that are absent.

    Empty where there is no ``ldd``.
    """
    try:
        listed = subprocess.run(
            ["ldd", *map(str, files)], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return []
    lines = [line for line in listed.splitlines() if NOT_FOUND in line]
    return sorted({line.partition(NOT_FOUND)[0].strip() for line in lines})


def binding_folder() -> Path | None:
    """Return the folder of the Qt binding that is installed."""
    wanted = os.environ.get("QT_API", "").lower()
    for name in sorted(BINDINGS, key=lambda binding: binding.lower() != wanted):
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            return Path(spec.submodule_search_locations[0])
    return None


def plugin_files(binding: Path | None, name: str) -> list[Path]:
    """Return the files of a platform plugin, those first that Qt tries first."""
    folders = [os.environ.get("QT_QPA_PLATFORM_PLUGIN_PATH", "")]
    folders += [
        os.path.join(folder, "platforms")  # noqa: PTH118
        for folder in os.environ.get("QT_PLUGIN_PATH", "").split(os.pathsep)
    ]
    places = [Path(folder) for folder in folders if Path(folder).is_absolute()]
    if binding is not None:
        places += binding.glob("Qt*/plugins/platforms")
    base = "wayland" if name.startswith("wayland") else name
    endings = ("", "-generic", "-egl")
    files = (place / f"libq{base}{ending}.so" for place in places for ending in endings)
    return [file for file in files if file.is_file()]


def library_files(plugins: Iterable[Path]) -> Iterator[Path]:
    """Return what is loaded for a window: modules of the binding, and platform plugins."""
    binding = binding_folder()
    if binding is not None:
        for module in MODULES:
            yield from binding.glob(f"{module}.*.so")
            yield from binding.glob(f"{module}.so")
    yield from plugins


def load(environ: Mapping[str, str]) -> str:
    """Load Qt and the first platform plugin that loads; return why none does, or nothing."""
    try:
        import qtpy.QtSvg
        import qtpy.QtWidgets  # noqa: F401
    except (ImportError, RuntimeError) as failed:  # qtpy raises RuntimeError where no binding is
        return str(failed) or type(failed).__name__
    binding, error = binding_folder(), ""
    for name in platform_names(environ):
        for file in plugin_files(binding, name)[:1]:
            try:
                ctypes.CDLL(str(file))
            except OSError as refused:
                error = error or str(refused)
            else:
                return ""
    return error


def load_threads() -> str:
    """Return why no threading layer of numba loads in which two threads may run kernels at a time.

    They do in a window: those of napari in one thread, those of the graph cut in another. Numba's
    own layer would end the process.
    """
    try:
        ctypes.CDLL("libgomp.so.1.0.0")  # as numba names it
    except OSError as missing:
        try:
            import_module("numba.np.ufunc.tbbpool")
        except ImportError:
            return str(missing)
    return ""


def start() -> None:
    """Start Qt, without leaving a core file where it ends the process."""
    from qtpy.QtWidgets import QApplication

    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    QApplication([])


def main() -> None:
    """Load Qt, start it if that is requested, and print what was found."""
    error, missing = load(os.environ) or load_threads(), []
    if error:
        binding = binding_folder()
        plugins = [plugin_files(binding, name)[:1] for name in platform_names(os.environ)]
        # Of several platforms the last is the one to fall back on.
        missing = missing_libraries(library_files(plugins[-1]))
        missing += OPENMP.findall(load_threads())
    elif "--start" in sys.argv:
        start()
    sys.stdout.write(json.dumps({"missing": missing, "error": error}) + "\n")


if __name__ == "__main__":
    main()
