from pathlib import Path

import pytest

from asem.config import Config
from asem.volume.address import Address, local_paths, parse_output_path


class Settings(Config):
    raw: Address


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("cell.zarr/raw", ("cell.zarr/raw", "", None)),
        ("cell.zarr/raw/", ("cell.zarr/raw", "", None)),
        ("cell.zarr/raw#2", ("cell.zarr/raw", "", 2)),
        ("cell.h5:/em/raw", ("cell.h5", "/em/raw", None)),
        ("file:///data/a%20b.zarr/raw#1", ("/data/a b.zarr/raw", "", 1)),
        ("file:///data/cell.zarr#2", ("/data/cell.zarr", "", 2)),
        ("FILE://localhost/data/cell.zarr/", ("/data/cell.zarr", "", None)),
        ("file:///data/c.h5:/em/raw%20a#1", ("/data/c.h5", "/em/raw a", 1)),
        ("s3://bucket/cell.n5/em/s0/", ("s3://bucket/cell.n5/em/s0", "", None)),
        ("HTTPS://host/cell.zarr#1", ("https://host/cell.zarr", "", 1)),
        ("precomputed://gs://bucket/cell/em", ("gs://bucket/cell/em", "", None)),
        ("zarr2://https://host/cell.zarr#1", ("https://host/cell.zarr", "", 1)),
        ("s3://bucket/cell.zarr/|zarr3:", ("s3://bucket/cell.zarr", "", None)),
        ("gs://bucket/em|neuroglancer-precomputed:", ("gs://bucket/em", "", None)),
    ],
)
def test_parts(text, parts):
    address = Address.parse(text)
    assert (address.location, address.dataset, address.level) == parts
    assert Address.parse(str(address)) == address


def test_a_file_is_found_by_its_whole_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("stack#2").touch()
    assert Address.parse("stack#2") == Address("stack#2")
    assert Address.parse("other#2") == Address("other", "", 2)


def test_an_empty_address_is_not_this_folder():
    with pytest.raises(ValueError, match=r"the address is empty; give a path or a URL, \. for"):
        Address.parse("")
    assert Address.parse(".") == Address(".")


def test_below_the_root():
    assert Address("/").join("data", "raw") == Address("/data/raw")
    assert Address("/").join() == Address("/")


def test_the_path_of_a_url_is_decoded_once():
    """Encoded characters are of the name of a file; they state no level and no dataset."""
    for text, location in {
        "file:///data/stack%232": "/data/stack#2",
        "file:///data/c.h5%3A/em/raw": "/data/c.h5:/em/raw",
        "file:///data/a%2520b": "/data/a%20b",
        "file:///data/%FF": "/data/\udcff",
    }.items():
        assert Address.parse(text) == Address(location)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("file://data/cell.zarr", "file://HOST/... names another computer; write file:///"),
        ("file://user:SECRET@data/cell.zarr", "file://HOST/... names another computer"),
        ("file://m.h5", "file://HOST/... names another computer"),
        ("file://", "file:// needs an absolute path"),
        ("file://localhost", "file:// needs an absolute path"),
        ("file:///data/cell.zarr?SECRET", "contains a query or a fragment; write %3F for ?"),
        ("file:///data/cell.zarr#SECRET", "contains a query or a fragment; write %3F for ?"),
        ("file:///data/cell.zarr#1#2", "contains a query or a fragment"),
        ("file:///data/a\nb", "contains a control character"),
        ("s3://bucket/a\tb", "s3://... contains a control character"),
        ("http://[SECRET/a", "http://... is not a URL"),
    ],
)
def test_urls_that_cannot_be_read(url, message):
    with pytest.raises(ValueError, match=r".+") as error:
        Address.parse(url)
    assert message in str(error.value)
    assert "SECRET" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("scheme", ["s3", "gs", "http", "https", "HTTPS", "file"])
def test_a_url_with_one_slash_was_a_path(scheme, tmp_path, monkeypatch):
    """`Path` merges the slashes of a URL."""
    monkeypatch.chdir(tmp_path)
    url = f"{scheme}://bucket/x"
    message = rf"{scheme}:/\.\.\. has one slash; give the URL as text, {scheme}://\.\.\."
    for given in (Path(url), str(Path(url))):
        with pytest.raises(ValueError, match=message):
            Address.parse(given)
    with pytest.raises(ValueError, match="is a URL, and outputs are local paths"):
        parse_output_path(Path(url))
    Path(url).mkdir(parents=True)
    assert Address.parse(Path(url)) == Address.parse(str(Path(url))) == Address(str(Path(url)))


def test_settings_are_stored_as_text_and_read_again():
    for text in ("raw#1", "s3://bucket/c.n5", "c.h5:/raw"):
        settings = Settings.from_dict({"raw": text}, source="test")
        assert settings.model_dump(mode="json") == {"raw": text}
        assert Settings.model_validate_json(settings.model_dump_json()) == settings
    with pytest.raises(ValueError, match=r"test: 'raw': a path or a URL is needed"):
        Settings.from_dict({"raw": 3}, source="test")


def test_relative_paths_are_those_of_a_folder():
    folder = Path("/data")
    assert str(Address.parse("c.h5:/raw").within(folder)) == "/data/c.h5:/raw"
    assert str(Address.parse("/other/c#1").within(folder)) == "/other/c#1"
    assert str(Address.parse("gs://bucket/c").within(folder)) == "gs://bucket/c"
    assert local_paths("a", None, "s3://b/c", Path("d"), "e.h5:/f") == list(
        map(Path, ["a", "d", "e.h5"])
    )


def test_an_output_is_a_local_path():
    assert parse_output_path("cell.zarr/raw") == Path("cell.zarr/raw")
    with pytest.raises(ValueError, match=r"s3://\.\.\. is a URL, and outputs are local paths"):
        parse_output_path("s3://user:secret@bucket")


@pytest.mark.parametrize("part", ["../secret", "s0/../../secret", "..", "/etc/s0"])
@pytest.mark.parametrize("location", ["cell.n5", "s3://bucket/cell.n5"])
def test_metadata_do_not_lead_out_of_a_folder(location, part):
    assert str(Address(location).join("a/b", "..c")) == f"{location}/a/b/..c"
    with pytest.raises(ValueError, match=f"{location} names '{part}', which is not a path below"):
        Address(location).join(part)
