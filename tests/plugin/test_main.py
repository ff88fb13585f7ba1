import sys
from pathlib import Path

import pytest

from asem.plugin.main import OTHER_SCREENS, annotate, check_screen


def test_without_napari_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "napari", None)
    with pytest.raises(
        ValueError, match=r"^annotation needs napari and Qt: pip install 'asem\[nap"
    ):
        annotate(Path("raw"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
@pytest.mark.parametrize(
    ("display", "why"),
    [
        ("", r"annotation opens a window \(DISPLAY is not set\)"),
        (":98765", "no X server answers at DISPLAY=:98765"),
        ("localhost:59000.0", "no X server answers"),
        ("here", "no X server answers"),
    ],
)
def test_without_a_screen_it_says_so(monkeypatch, raw, display, why):
    for name in OTHER_SCREENS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(OSError, match=f"^there is no screen: {why}"):
        annotate(raw)


def test_other_screens_are_not_asked_for():
    check_screen({"QT_QPA_PLATFORM": "offscreen"})
    check_screen({"DISPLAY": ":98765", "WAYLAND_DISPLAY": "wayland-0"})


@pytest.mark.gui
def test_an_x_server_answers(screen):
    check_screen({"DISPLAY": screen})
    check_screen({"DISPLAY": f"{screen}.0"})
    check_screen({"DISPLAY": f"unix{screen}"})
    check_screen({"DISPLAY": f"tcp/somewhere{screen}"})  # nobody knows


def test_bad_raw_opens_no_window(monkeypatch, tmp_path):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    with pytest.raises(FileNotFoundError, match="there is nothing at"):
        annotate(tmp_path / "raw")
    assert list(tmp_path.iterdir()) == []
