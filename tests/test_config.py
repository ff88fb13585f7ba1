from typing import Literal

import pytest
from pydantic import Field

from asem.config import Config, VoxelSize


class Inner(Config):
    size: int = 3
    learning_rate: float = Field(0.1, gt=0, le=1)


class Outer(Config):
    name: str
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    at_least_one: tuple[Inner, ...] = Field((Inner(),), min_length=1)
    voxel_size: VoxelSize | None = None
    cell: VoxelSize = (8, 4, 4)
    optimizer: Literal["adam", "adamw"] = "adam"
    compile: bool | Literal["auto"] = False
    number: int = Field(1, ge=1, le=8)
    seed: int = Field(0, ge=0)
    share: float = Field(0, ge=0, lt=1)
    tile: int | None = Field(None, ge=8, le=64)
    lines: tuple[str, ...] = ()
    pair: tuple[float, float] = (0, 1)


def test_a_file_is_read(tmp_path):
    (tmp_path / "a.toml").write_text('name = "x"\n[inner]\nsize = 4\n')
    assert Outer.from_toml(tmp_path / "a.toml") == Outer(name="x", inner=Inner(size=4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1", r"unknown key 'colour' \(allowed here: name, inner, many, at_least_one, "),
        ("[inner]\ncolour = 1", r"'inner.colour' \(allowed here: size, learning_rate\)"),
        ("nmae = 1", r"unknown key 'nmae'; did you mean 'name'\?$"),
        ("[inner]\nsise = 1", r"unknown key 'inner.sise'; did you mean 'size'\?$"),
        ("[[many]]\nsise = 1", r"unknown key 'many.0.sise'; did you mean 'size'\?$"),
        ("learning_rate = 1", r"'learning_rate'; did you mean 'learning_rate' in \[inner\]\?$"),
        ("learning_rat = 1", r"'learning_rat'; did you mean 'learning_rate' in \[inner\]\?$"),
        ("[inner]\nvoxel_size = 1", "did you mean 'voxel_size' above all tables"),
        ("[inner]\nsize = 'big'", "'inner.size': give a whole number; got 'big'$"),
        ("[inner]\nsize = 2.5", "'inner.size': give a whole number; got 2.5$"),
        ("name = 3", "'name': give text in quotes; got 3$"),
        ("inner = 3", r"'inner': give a table \[inner\]; got 3$"),
        ("many = {}", r"'many': give at least one table \[\[many\]\]; got {}$"),
        ("at_least_one = []", r"'at_least_one': give at least one table .*; got \[\]$"),
        ("cell = 8", r"'cell': give three lengths in nm, z, y, x, for example \[8, 4, 4\]; got 8$"),
        ("cell = [8, 4]", r"'cell': give three lengths in nm, z, y, x, .*; got \[8, 4\]$"),
        ("cell = [8, 'x', true]", r"'cell': give three .*4\]; got \[8, 'x', true\]$"),
        (
            "cell = [8, 4, -1]",
            r"'cell': give three .*\], each from 1e-06 to 1e\+09; got \[8, 4, -1\]$",
        ),
        ("voxel_size = 8", "'voxel_size': give three lengths in nm, z, y, x, .*; got 8$"),
        ("optimizer = 'adaw'", r"give 'adam' or 'adamw'; got 'adaw'; did you mean 'adamw'\?$"),
        ("optimizer = true", "'optimizer': give 'adam' or 'adamw'; got true$"),
        ("compile = 'aut'", r"give true, false or 'auto'; got 'aut'; did you mean 'auto'\?$"),
        ("number = 9", "'number': give a whole number from 1 to 8; got 9$"),
        ("seed = -1", "'seed': give a whole number of at least 0; got -1$"),
        ("tile = 7", "'tile': give a whole number from 8 to 64; got 7$"),
        ("share = 1", "'share': give a number of at least 0, below 1; got 1$"),
        ("share = nan", "'share': give a number of at least 0, below 1; got nan$"),
        ("inner.learning_rate = 0", "give a number above 0, at most 1; got 0$"),
        ("lines = 'x'", "'lines': give a list, each text in quotes; got 'x'$"),
        ("pair = [1]", r"'pair': give a list of 2, each a number; got \[1\]$"),
        ("many = [{ size = 'x' }]", "'many.0.size': give a whole number; got 'x'$"),
        ("name = ", "is not valid TOML"),
    ],
)
def test_faults_are_one_line_that_names_the_file_and_the_key(tmp_path, text, message):
    path = tmp_path / "a.toml"
    path.write_text(text if text.startswith("name") else f'name = "x"\n{text}')
    with pytest.raises(ValueError, match=message) as caught:
        Outer.from_toml(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_key_is_named_with_what_it_takes():
    with pytest.raises(ValueError, match=r"^a: key 'name' is missing; give text in quotes$"):
        Outer.from_dict({}, source="a")


def test_a_missing_file_is_named_with_what_requests_it(tmp_path):
    path = tmp_path / "a.toml"
    with pytest.raises(FileNotFoundError) as caught:
        Outer.from_toml(path)
    assert str(caught.value) == f"there is no settings file {path}"
    with pytest.raises(FileNotFoundError) as caught:
        Outer.from_toml(path, requested_by="--config")
    assert str(caught.value) == f"--config: there is no settings file {path}"


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
