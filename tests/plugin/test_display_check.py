"""Missing libraries and displays are found before Qt aborts the process."""

import os
import sys
from pathlib import Path

import pytest

from asem.cli import main
from asem.plugin import qt_probe
from asem.plugin.display_check import (
    OTHER_DISPLAY_VARIABLES,
    QtProbeResult,
    check_qt_display,
    debian_package_of,
    describe_missing_libraries,
    find_display_problem,
    probe_qt,
)
from asem.plugin.qt_probe import find_binding_folder, find_missing_libraries, find_platform_plugins

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="on other systems Qt contains its libraries"
)
ABSENT = {b"libxcb-cursor.so.0": b"libxcb-absent.so.0", b"libEGL.so.1": b"libEGG.so.1"}
"""Names of libraries, and absent ones of the same length."""


def copy_without(library, file, folder):
    """Copy a shared library so that it needs an absent library; return the copy."""
    content = file.read_bytes()
    assert library in content
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / file.name
    copy.unlink(missing_ok=True)  # a link
    copy.write_bytes(content.replace(library, ABSENT[library]))
    return copy


@pytest.fixture
def no_cursor(monkeypatch, tmp_path):
    """A platform plugin of X that needs an absent library."""
    (file,) = find_platform_plugins(find_binding_folder(), "xcb")
    copy_without(b"libxcb-cursor.so.0", file, tmp_path / "plugins/platforms")
    (tmp_path / "lib").symlink_to(file.parents[2] / "lib")
    monkeypatch.setenv("QT_QPA_PLATFORM_PLUGIN_PATH", str(tmp_path / "plugins/platforms"))
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")


@pytest.fixture
def no_egl(monkeypatch, tmp_path):
    """A Qt with a module that needs an absent library."""
    qt = find_binding_folder()
    copy = tmp_path / "packages" / qt.name
    (copy / "Qt/lib").mkdir(parents=True)
    for place in (Path(), Path("Qt"), Path("Qt/lib")):
        for entry in (qt / place).iterdir():
            if not (copy / place / entry.name).exists():
                (copy / place / entry.name).symlink_to(entry)
    (copy.parent / "shiboken6").symlink_to(qt.parent / "shiboken6")
    copy_without(b"libEGL.so.1", qt / "Qt/lib/libQt6Gui.so.6", copy / "Qt/lib")
    paths = [str(copy.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")


@pytest.mark.gui
def test_a_library_of_the_platform_plugin_is_missing(screen, no_cursor, raw, capfd):
    assert main(["annotate", str(raw)]) == 2
    assert capfd.readouterr().err == (
        "asem: Qt needs libxcb-absent.so.0; Debian, Ubuntu: sudo apt-get install libxcb-absent0\n"
    )
    assert not (raw.parent / "annotations").exists()


@pytest.mark.gui
def test_a_library_of_the_binding_is_missing(no_egl, raw, capfd):
    assert main(["annotate", str(raw)]) == 2
    assert capfd.readouterr().err == (
        "asem: Qt needs libEGG.so.1; Debian, Ubuntu: sudo apt-get install libegg1\n"
    )


@pytest.mark.gui
def test_kernels_in_two_threads_need_openmp(monkeypatch):
    """Numba's own threads abort the process when napari and a cut run kernels concurrently."""

    def refuse(name, *args, **kwargs):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(qt_probe.ctypes, "CDLL", refuse)
    monkeypatch.setitem(sys.modules, "numba.np.ufunc.tbbpool", None)
    assert qt_probe.OPENMP_LIBRARY.findall(qt_probe.load_threading_layer()) == ["libgomp.so.1"]
    monkeypatch.undo()
    assert qt_probe.load_threading_layer() == ""


@pytest.mark.gui
def test_another_platform_needs_no_library_of_x(no_cursor, monkeypatch):
    monkeypatch.delenv("QT_QPA_PLATFORM_PLUGIN_PATH")
    check_qt_display({**os.environ, "QT_QPA_PLATFORM": "offscreen"})
    check_qt_display({**os.environ, "QT_QPA_PLATFORM": "nonsense;offscreen:size=9x9"})


@pytest.mark.gui
def test_a_platform_that_does_not_start_is_named():
    why = '^Qt cannot open a window: .*Could not find the Qt platform plugin "nonsense"'
    with pytest.raises(OSError, match=why) as raised:
        check_qt_display({**os.environ, "QT_QPA_PLATFORM": "nonsense"})
    assert "\n" not in str(raised.value)


@pytest.mark.gui
def test_an_x_server_that_refuses_is_named(screen, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":98765")  # not checked if QT_QPA_PLATFORM is set
    with pytest.raises(OSError, match="could not connect to display :98765"):
        check_qt_display(os.environ)


@pytest.mark.gui
def test_a_complete_system_has_no_problem(screen):
    check_qt_display(os.environ)
    assert probe_qt(os.environ, start=False) == QtProbeResult()
    assert find_missing_libraries(find_platform_plugins(find_binding_folder(), "xcb")) == []


@pytest.mark.parametrize(
    ("library", "package"),
    [
        ("libxcb-cursor.so.0", "libxcb-cursor0"),
        ("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
        ("libX11-xcb.so.1", "libx11-xcb1"),
        ("libdbus-1.so.3", "libdbus-1-3"),
        ("libgcc_s.so.1", "libgcc-s1"),
        ("libglib-2.0.so.0", "libglib2.0-0"),
    ],
)
def test_packages_are_named_as_debian_names_them(library, package):
    assert debian_package_of(library) == package


def test_each_package_is_named_once():
    line = describe_missing_libraries(["libglib-2.0.so.0", "libgthread-2.0.so.0"])
    assert line.endswith("sudo apt-get install libglib2.0-0")


def test_many_libraries_are_counted_and_all_packages_named():
    line = describe_missing_libraries([f"lib{name}.so.1" for name in "abcdef"])
    assert "liba.so.1, libb.so.1, libc.so.1, libd.so.1 and 2 more libraries" in line
    assert line.endswith("liba1 libb1 libc1 libd1 libe1 libf1")


def test_other_displays_are_not_checked():
    assert not find_display_problem({"QT_QPA_PLATFORM": "offscreen"})
    assert not find_display_problem({"DISPLAY": ":98765", "WAYLAND_DISPLAY": "wayland-0"})


@pytest.mark.gui
def test_an_x_server_responds(screen):
    for display in (screen, f"{screen}.0", f"unix{screen}", f"tcp/not-checked{screen}"):
        assert not find_display_problem({"DISPLAY": display})


@pytest.mark.parametrize(
    ("display", "problem"),
    [
        ("", "DISPLAY is not set"),
        (":98765", "no X server responds at DISPLAY=:98765"),
        ("localhost:59000.0", "no X server responds at DISPLAY=localhost:59000.0"),
        ("here", "no X server responds at DISPLAY=here"),
    ],
)
def test_a_missing_display_is_reported(display, problem):
    environ = {"DISPLAY": display, **dict.fromkeys(OTHER_DISPLAY_VARIABLES, "")}
    assert find_display_problem(environ) == problem
