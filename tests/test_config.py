import pytest

from asem.config import Config


class Inner(Config):
    size: int = 3


class Outer(Config):
    name: str
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()


def test_a_file_is_read(tmp_path):
    (tmp_path / "a.toml").write_text('name = "x"\n[inner]\nsize = 4\n')
    assert Outer.from_toml(tmp_path / "a.toml") == Outer(name="x", inner=Inner(size=4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nsise = 1', r"unknown key 'sise' \(allowed here: name, inner, many\)"),
        ('name = "x"\n[inner]\nsise = 1', r"unknown key 'inner.sise' \(allowed here: size\)"),
        ('name = "x"\n[[many]]\nsise = 1', r"unknown key 'many.0.sise' \(allowed here: size\)"),
        ("", "key 'name' is missing"),
        ('name = "x"\n[inner]\nsize = "big"', r"'inner.size': .*integer.* \(given: 'big'\)"),
        ("name = ", "is not valid TOML"),
    ],
)
def test_faults_are_one_line_that_names_the_file_and_the_key(tmp_path, text, message):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        Outer.from_toml(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_byte_order_mark_is_read_over(tmp_path, newline):
    text = f'name = "µ"{newline}[inner]{newline}size = 4{newline}'
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert Outer.from_toml(tmp_path / "a.toml") == Outer(name="µ", inner=Inner(size=4))


@pytest.mark.parametrize(
    "encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_another_encoding_is_named(tmp_path, encoding):
    (tmp_path / "a.toml").write_bytes('[inner]\nsize = 4  # µm\nname = "é"\n'.encode(encoding))
    with pytest.raises(ValueError, match="not UTF-8 text; save the file as UTF-8") as caught:
        Outer.from_toml(tmp_path / "a.toml")
    assert "\n" not in str(caught.value)
    assert encoding not in ("latin-1", "cp1252") or "a.toml, line 2:" in str(caught.value)


def test_plain_text_of_another_encoding_is_read(tmp_path):
    (tmp_path / "a.toml").write_bytes('name = "x"'.encode("ascii"))
    assert Outer.from_toml(tmp_path / "a.toml") == Outer(name="x")
