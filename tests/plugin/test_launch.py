import sys
from pathlib import Path

import pytest

from asem.plugin.display_check import OTHER_DISPLAY_VARIABLES
from asem.plugin.launch import annotate


def test_without_napari_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "napari", None)
    with pytest.raises(
        ValueError, match=r"^annotation needs napari and Qt: pip install 'asem\[nap"
    ):
        annotate(Path("raw"))


@pytest.mark.gui
@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a display")
def test_without_a_display_an_error_is_raised(monkeypatch, raw):
    for name in (*OTHER_DISPLAY_VARIABLES, "DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OSError, match=r"^no display: DISPLAY is not set$"):
        annotate(raw)


@pytest.mark.gui
def test_bad_raw_opens_no_window(monkeypatch, tmp_path):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    with pytest.raises(FileNotFoundError, match="there is nothing at"):
        annotate(tmp_path / "raw")
    assert list(tmp_path.iterdir()) == []
