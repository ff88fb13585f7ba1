import sys
from pathlib import Path

import pytest

from asem.plugin.main import annotate
from asem.plugin.window import OTHER_SCREENS


def test_without_napari_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "napari", None)
    with pytest.raises(
        ValueError, match=r"^annotation needs napari and Qt: pip install 'asem\[nap"
    ):
        annotate(Path("raw"))


@pytest.mark.gui
@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
def test_without_a_screen_it_says_so(monkeypatch, raw):
    for name in (*OTHER_SCREENS, "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OSError, match=r"^there is no screen: annotation opens a window \(DISPLAY"):
        annotate(raw)


@pytest.mark.gui
def test_bad_raw_opens_no_window(monkeypatch, tmp_path):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    with pytest.raises(FileNotFoundError, match="there is nothing at"):
        annotate(tmp_path / "raw")
    assert list(tmp_path.iterdir()) == []
