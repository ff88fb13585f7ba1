import base64

from matplotlib.figure import Figure

from asem.report.figures import encode_png, encode_png_data_url


def test_a_figure_is_embedded_as_png_and_equal_figures_have_equal_bytes():
    head, data = encode_png_data_url(Figure()).split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == encode_png(Figure())
    assert encode_png(Figure()).startswith(b"\x89PNG")
