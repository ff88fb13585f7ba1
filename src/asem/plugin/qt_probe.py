"""Load and start Qt in a subprocess, because Qt aborts the process when it fails.

``python -m asem.plugin.qt_probe [--start]`` prints one JSON object: ``missing``, the names of
required shared libraries that the loader does not find, and ``error``, the message of Python or the
loader; both are empty if Qt loads. ``--start`` also starts Qt: if it cannot open a window, Qt
writes the reason to stderr and the process ends by SIGABRT.
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

QT_BINDINGS = ("PySide6", "PyQt6")
QT_MODULES = ("QtGui", "QtWidgets", "QtOpenGL", "QtOpenGLWidgets", "QtSvg")
LDD_NOT_FOUND = "=> not found"
OPENMP_LIBRARY = re.compile(r"libgomp\.so\.1")
PR_SET_DUMPABLE = 4
"""Option of ``prctl(2)``: whether the process may write a core dump."""


def list_platform_plugins(environ: Mapping[str, str]) -> list[str]:
    """Return the platform plugins that Qt tries in order; it uses the first that starts.

    >>> list_platform_plugins({"QT_QPA_PLATFORM": "wayland;offscreen:size=10x10"})
    ['wayland', 'offscreen']
    >>> list_platform_plugins({"DISPLAY": ":0"})
    ['xcb']
    >>> list_platform_plugins({"WAYLAND_DISPLAY": "wayland-0"})
    ['wayland', 'xcb']
    """
    platforms = environ.get("QT_QPA_PLATFORM", "")
    if platforms:
        return [name.partition(":")[0] for name in platforms.split(";")]
    wayland = environ.get("WAYLAND_DISPLAY") or environ.get("XDG_SESSION_TYPE") == "wayland"
    return ["wayland", "xcb"] if wayland else ["xcb"]


def find_missing_libraries(files: Iterable[Path]) -> list[str]:
    """Return the missing shared libraries among the direct and indirect dependencies of `files`.

    Empty if ``ldd`` is not installed.
    """
    try:
        output = subprocess.run(
            ["ldd", *map(str, files)], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return []
    lines = [line for line in output.splitlines() if LDD_NOT_FOUND in line]
    return sorted({line.partition(LDD_NOT_FOUND)[0].strip() for line in lines})


def find_binding_folder() -> Path | None:
    """Return the folder of the installed Qt binding; ``QT_API`` selects one of several."""
    preferred = os.environ.get("QT_API", "").lower()
    for name in sorted(QT_BINDINGS, key=lambda binding: binding.lower() != preferred):
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            return Path(spec.submodule_search_locations[0])
    return None


def find_platform_plugins(binding: Path | None, name: str) -> list[Path]:
    """Return the files of a platform plugin in the order in which Qt tries them."""
    folders = [os.environ.get("QT_QPA_PLATFORM_PLUGIN_PATH", "")]
    folders += [
        os.path.join(folder, "platforms")  # noqa: PTH118
        for folder in os.environ.get("QT_PLUGIN_PATH", "").split(os.pathsep)
    ]
    paths = [Path(folder) for folder in folders if Path(folder).is_absolute()]
    if binding is not None:
        paths += binding.glob("Qt*/plugins/platforms")
    base = "wayland" if name.startswith("wayland") else name
    endings = ("", "-generic", "-egl")
    files = (path / f"libq{base}{ending}.so" for path in paths for ending in endings)
    return [file for file in files if file.is_file()]


def list_qt_libraries(plugins: Iterable[Path]) -> Iterator[Path]:
    """Yield the libraries of a Qt window: modules of the binding, and platform plugins."""
    binding = find_binding_folder()
    if binding is not None:
        for module in QT_MODULES:
            yield from binding.glob(f"{module}.*.so")
            yield from binding.glob(f"{module}.so")
    yield from plugins


def load_qt(environ: Mapping[str, str]) -> str:
    """Load Qt and a platform plugin; return the error, empty if one loads."""
    try:
        import qtpy.QtSvg
        import qtpy.QtWidgets  # noqa: F401
    except (ImportError, RuntimeError) as load_error:  # RuntimeError of qtpy: no binding
        return str(load_error) or type(load_error).__name__
    binding, error = find_binding_folder(), ""
    for name in list_platform_plugins(environ):
        for file in find_platform_plugins(binding, name)[:1]:
            try:
                ctypes.CDLL(str(file))
            except OSError as load_error:
                error = error or str(load_error)
            else:
                return ""
    return error


def load_threading_layer() -> str:
    """Load a threading layer of numba that supports concurrent kernels; return the error or "".

    napari runs kernels in one thread while the graph cut runs kernels in another. Numba's own
    layer (workqueue) would abort the process.
    """
    try:
        ctypes.CDLL("libgomp.so.1.0.0")  # as numba names it
    except OSError as missing:
        try:
            import_module("numba.np.ufunc.tbbpool")
        except ImportError:
            return str(missing)
    return ""


def start_qt() -> None:
    """Start Qt; write no core dump if it aborts the process."""
    from qtpy.QtWidgets import QApplication

    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    QApplication([])


def main() -> None:
    """Load Qt, start it with ``--start``, and print the result."""
    error, missing = load_qt(os.environ) or load_threading_layer(), []
    if error:
        binding = find_binding_folder()
        plugins = [
            find_platform_plugins(binding, name)[:1] for name in list_platform_plugins(os.environ)
        ]
        # Of several platforms the last is the fallback.
        missing = find_missing_libraries(list_qt_libraries(plugins[-1]))
        missing += OPENMP_LIBRARY.findall(load_threading_layer())
    elif "--start" in sys.argv:
        start_qt()
    sys.stdout.write(json.dumps({"missing": missing, "error": error}) + "\n")


if __name__ == "__main__":
    main()
