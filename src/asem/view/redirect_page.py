"""A private file that leads a browser to a view.

The words of a command can be read by other users of a machine, in the list of processes: a browser
is given the path of this file instead of the address with the token.
"""

import html
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from asem.system.files import write_private_file

PAGE = """<!DOCTYPE html>
<meta charset="utf-8">
<meta http-equiv="refresh" content="0;url={url}">
<title>asem view</title>
<a href="{url}">Open the view</a>
"""


@contextmanager
def make_redirect_page(url: str) -> Iterator[Path]:
    """Yield a page, readable by this user only, that opens an address; deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="asem-view-") as folder:
        page = Path(folder) / "view.html"
        write_private_file(page, PAGE.format(url=html.escape(url)))
        yield page
