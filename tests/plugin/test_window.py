"""What keeps Qt from opening a window is found before Qt ends the process over it."""

import os
import sys
from pathlib import Path

import pytest

from asem.cli import main
from asem.plugin import qt_probe
from asem.plugin.qt_probe import binding_folder, missing_libraries, plugin_files
from asem.plugin.window import (
    OTHER_SCREENS,
    QtReport,
    check_screen,
    check_window,
    debian_package,
    describe_missing,
    probe_qt,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Qt brings its libraries elsewhere")
ABSENT = {b"libxcb-cursor.so.0": b"libxcb-absent.so.0", b"libEGL.so.1": b"libEGG.so.1"}
"""Names of libraries, and as long ones that no system has."""


def copy_without(library, file, folder):
    """Copy a shared library that then needs a library that no system has; return the copy."""
    content = file.read_bytes()
    assert library in content
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / file.name
    copy.unlink(missing_ok=True)  # a link
    copy.write_bytes(content.replace(library, ABSENT[library]))
    return copy


@pytest.fixture
def no_cursor(monkeypatch, tmp_path):
    """The platform plugin of X, which needs what is not there."""
    (file,) = plugin_files(binding_folder(), "xcb")
    copy_without(b"libxcb-cursor.so.0", file, tmp_path / "plugins/platforms")
    (tmp_path / "lib").symlink_to(file.parents[2] / "lib")
    monkeypatch.setenv("QT_QPA_PLATFORM_PLUGIN_PATH", str(tmp_path / "plugins/platforms"))
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")


@pytest.fixture
def no_egl(monkeypatch, tmp_path):
    """A Qt of which a module needs what is not there."""
    qt = binding_folder()
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
        "asem: a window needs libxcb-absent.so.0; "
        "Debian, Ubuntu: sudo apt-get install libxcb-absent0\n"
    )
    assert not (raw.parent / "annotations").exists()


@pytest.mark.gui
def test_a_library_of_the_binding_is_missing(no_egl, raw, capfd):
    assert main(["annotate", str(raw)]) == 2
    assert capfd.readouterr().err == (
        "asem: a window needs libEGG.so.1; Debian, Ubuntu: sudo apt-get install libegg1\n"
    )


@pytest.mark.gui
def test_kernels_in_two_threads_need_openmp(monkeypatch):
    """Numba's own threads end the process where napari and a cut run kernels at a time."""

    def refuse(name, *args, **kwargs):
        raise OSError(f"{name}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(qt_probe.ctypes, "CDLL", refuse)
    monkeypatch.setitem(sys.modules, "numba.np.ufunc.tbbpool", None)
    assert qt_probe.OPENMP.findall(qt_probe.load_threads()) == ["libgomp.so.1"]
    monkeypatch.undo()
    assert qt_probe.load_threads() == ""


@pytest.mark.gui
def test_another_platform_needs_no_library_of_x(no_cursor, monkeypatch):
    monkeypatch.delenv("QT_QPA_PLATFORM_PLUGIN_PATH")
    check_window({**os.environ, "QT_QPA_PLATFORM": "offscreen"})
    check_window({**os.environ, "QT_QPA_PLATFORM": "nonsense;offscreen:size=9x9"})


@pytest.mark.gui
def test_a_platform_that_does_not_start_is_named():
    why = '^Qt cannot open a window: .*Could not find the Qt platform plugin "nonsense"'
    with pytest.raises(OSError, match=why) as raised:
        check_window({**os.environ, "QT_QPA_PLATFORM": "nonsense"})
    assert "\n" not in str(raised.value)


@pytest.mark.gui
def test_an_x_server_that_refuses_is_named(screen, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":98765")  # beside QT_QPA_PLATFORM, which check_screen trusts
    with pytest.raises(OSError, match="could not connect to display :98765"):
        check_window(os.environ)


@pytest.mark.gui
def test_where_all_is_there_nothing_is_reported(screen):
    check_window(os.environ)
    assert probe_qt(os.environ, start=False) == QtReport()
    assert missing_libraries(plugin_files(binding_folder(), "xcb")) == []


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
    assert debian_package(library) == package


def test_each_package_is_named_once():
    line = describe_missing(["libglib-2.0.so.0", "libgthread-2.0.so.0"])
    assert line.endswith("sudo apt-get install libglib2.0-0")


def test_many_libraries_are_counted_and_all_packages_named():
    line = describe_missing([f"lib{name}.so.1" for name in "abcdef"])
    assert "liba.so.1, libb.so.1, libc.so.1, libd.so.1 and 2 more libraries" in line
    assert line.endswith("liba1 libb1 libc1 libd1 libe1 libf1")


def test_other_screens_are_not_asked_for():
    check_screen({"QT_QPA_PLATFORM": "offscreen"})
    check_screen({"DISPLAY": ":98765", "WAYLAND_DISPLAY": "wayland-0"})


@pytest.mark.gui
def test_an_x_server_answers(screen):
    check_screen({"DISPLAY": screen})
    check_screen({"DISPLAY": f"{screen}.0"})
    check_screen({"DISPLAY": f"unix{screen}"})
    check_screen({"DISPLAY": f"tcp/somewhere{screen}"})  # nobody knows


@pytest.mark.parametrize(
    ("display", "why"),
    [
        ("", r"annotation opens a window \(DISPLAY is not set\)"),
        (":98765", "no X server answers at DISPLAY=:98765"),
        ("localhost:59000.0", "no X server answers"),
        ("here", "no X server answers"),
    ],
)
def test_without_a_screen_it_says_so(display, why):
    with pytest.raises(OSError, match=f"^there is no screen: {why}"):
        check_screen({"DISPLAY": display, **dict.fromkeys(OTHER_SCREENS, "")})
