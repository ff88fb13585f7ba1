"""Pictures: what happens where Chromium is missing, ends, or displays nothing."""

import os
import stat

import pytest

from asem.view.open_view import open_view
from asem.view.redirect_page import make_redirect_page
from asem.view.screenshot import take_screenshot


@pytest.fixture
def fake_browser(tmp_path, monkeypatch):
    """Replace Chromium by a script that saves its words in a file; return the file."""

    def replace(commands):
        script = tmp_path / "bin/chromium"
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/words\n{commands}\n')
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:/usr/bin:/bin")
        return tmp_path / "words"

    return replace


def test_a_browser_that_ends_is_an_error(fake_browser, known_cell):
    words = fake_browser("exit 3")
    with open_view([known_cell / "raw"]) as view:
        with pytest.raises(OSError, match="Chromium ended with code 3 without a picture"):
            take_screenshot(view.server, (320, 200))
        text = words.read_text()
        assert "--window-size=320,200" in text
        assert view.server.token not in text  # other users can read the words of a process
        assert view.server.viewer.token not in text


def test_a_browser_that_displays_nothing_is_an_error(fake_browser, known_cell):
    fake_browser("exec sleep 60")
    with (
        open_view([known_cell / "raw"]) as view,
        pytest.raises(TimeoutError, match=r"a layer cannot be loaded \(no request for 0 s\)"),
    ):
        take_screenshot(view.server, (320, 200), idle_s=0.3)


def test_the_page_with_the_address_is_private_and_deleted():
    with make_redirect_page('http://127.0.0.1:1/v/a"b/') as page:
        assert stat.S_IMODE(os.stat(page).st_mode) == 0o600  # noqa: PTH116
        assert "url=http://127.0.0.1:1/v/a&quot;b/" in page.read_text()
    assert not page.exists()
