"""Render the page of a report: one HTML file that requests nothing."""

from importlib.resources import files

from jinja2 import Environment, PackageLoader

from asem.report.page.parts import Page, make_anchors

GENERATOR = b'<meta name="generator" content="asem report">'
"""By which the file is recognized; within its first `GENERATOR_BYTES`."""
GENERATOR_BYTES = 1024


def render_page(page: Page) -> bytes:
    """Return the page as HTML; equal pages have equal bytes.

    Parameters
    ----------
    page
        Its parts. All texts are escaped, so that names may contain anything.
    """
    environment = Environment(
        loader=PackageLoader("asem.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.get_template("report.html")
    anchors = make_anchors([section.title for section in page.sections])
    html = template.render(
        page=page,
        sections=list(zip(anchors, page.sections, strict=True)),
        css=_read_resource("report.css"),
        script=_read_resource("report.js"),
        generator=GENERATOR.decode(),
    )
    return html.encode(errors="replace")


def _read_resource(name: str) -> str:
    return (files("asem.report") / "templates" / name).read_text("utf-8")
