"""Reading by HTTP and S3: exact values, the requests, and one line for each failure."""

import os
import pickle
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import zarr

from asem.cli import main
from asem.volume.address import Address
from asem.volume.formats import listing, stores
from asem.volume.formats.detect import open_source_image
from asem.volume.formats.listing import list_entries
from asem.volume.replaced_inputs import check_not_replaced
from asem.volume.sources import open_volume
from asem.workflows.container import find_images
from asem.workflows.describe import describe_volume
from chunked import add_attributes, write_n5, write_zarr
from connections import forget_connections
from remote_servers import serve_files, serve_s3, upload

TRANSFORM = {
    "axes": ["z", "y", "x"], "units": ["nm"] * 3, "scale": [5.24, 4.0, 4.0],
    "translate": [100.0, 20.0, 3.0],
}  # fmt: skip
FUNLIB = {"resolution": [5.24, 4.0, 4.0], "offset": [100.0, 20.0, 4.0]}
PATHS = {
    "cell.n5/em/s0": (100.0, 20.0, 3.0),
    "cell.n5/em": (100.0, 20.0, 3.0),
    "zarr2.zarr/volumes/raw": (102.62, 22.0, 6.0),
    "zarr3.zarr/raw": (102.62, 22.0, 6.0),
    "sharded.zarr/raw": (102.62, 22.0, 6.0),
    "v04.zarr": (0.0, 0.0, 0.0),
    "v05.zarr": (0.0, 0.0, 0.0),
    "v04.zarr/s0": (0.0, 0.0, 0.0),
}
"""Images of the fixture `files`, and the centre of their first voxel, nm."""
SECRET = "wJalrXUtnFEMI-a-secret-key"


@pytest.fixture(scope="module")
def voxels():
    return np.random.default_rng(5).integers(0, 60000, (40, 36, 33)).astype(np.uint16)


@pytest.fixture(scope="module")
def files(tmp_path_factory, voxels):
    """A folder with the same voxels in each remote format."""
    folder = tmp_path_factory.mktemp("files")
    add_attributes(folder / "cell.n5/attributes.json", {"n5": "2.0.0"})
    write_n5(folder / "cell.n5/em/s0", voxels, {"transform": TRANSFORM}, chunk=16)
    add_attributes(folder / "cell.n5/em/attributes.json", {"scales": [[1, 1, 1]]})
    write_zarr(folder / "zarr2.zarr/volumes/raw", voxels, FUNLIB, chunk=16)
    write_zarr(folder / "zarr3.zarr/raw", voxels, FUNLIB, zarr_format=3, chunk=16)
    sharded = {"zarr_format": 3, "chunk": 16, "shards": (32, 32, 32)}
    write_zarr(folder / "sharded.zarr/raw", voxels, FUNLIB, **sharded)
    write_ome_zarr(folder / "v04.zarr", voxels)
    write_ome_zarr(folder / "v05.zarr", voxels)
    return folder


def write_ome_zarr(folder, voxels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own import
        from ome_zarr.format import FormatV04, FormatV05
        from ome_zarr.writer import write_image
    form = FormatV04() if folder.name == "v04.zarr" else FormatV05()
    group = zarr.open_group(str(folder), mode="w", zarr_format=form.zarr_format)
    size = {"z": 5.24, "y": 4.0, "x": 4.0}
    write_image(
        voxels, group, scale_factors=[], axes=list("zyx"), scale=size, fmt=form,
        axes_units=dict.fromkeys("zyx", "nanometer"),
        storage_options={"chunks": (16, 16, 16)},
    )  # fmt: skip


@pytest.fixture
def web(files, quick_retries):
    with serve_files(files) as server:
        yield server


@pytest.fixture(scope="module")
def bucket(files):
    """URL of a local S3 server, whose bucket `microscopy` contains the files."""
    with serve_s3("microscopy") as url:
        upload(url, "microscopy", files, "data")
        yield url


@pytest.fixture
def s3(bucket, monkeypatch, quick_retries):
    """The local S3 server in the environment, without credentials."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket)
    return "s3://microscopy/data"


def check_image(url, voxels, offset_nm):
    volume = open_volume(url)
    assert volume.voxel_size == (5.24, 4.0, 4.0)
    assert volume.offset_nm == pytest.approx(offset_nm)
    assert np.array_equal(volume.read(volume.roi), voxels)


def fails(url, *parts):
    """Describe an image, which must fail with one line."""
    with pytest.raises((OSError, ValueError)) as failure:
        describe_volume(url)
    error = str(failure.value)
    assert "\n" not in error
    for part in parts:
        assert part in error, error
    return error


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("ranges", [True, False])
def test_http(web, voxels, path, ranges):
    web.ranges = ranges
    if path == "sharded.zarr/raw" and not ranges:
        with pytest.raises(OSError, match=r"does not support requests for a part of a file"):
            check_image(f"{web.url}/{path}", voxels, PATHS[path])
        return
    check_image(f"{web.url}/{path}", voxels, PATHS[path])


@pytest.mark.parametrize("path", PATHS)
def test_s3(s3, voxels, path):
    check_image(f"{s3}/{path}", voxels, PATHS[path])


@pytest.mark.parametrize(("name", "chunks"), [("n5", 8), ("zarr2", 8), ("zarr3", 8)])
def test_only_the_needed_chunks_are_read(tmp_path, quick_retries, name, chunks):
    """64^3 voxels of 256^3, not aligned to the chunks of 64^3: 2 chunks along each axis."""
    voxels = np.arange(256**3, dtype=np.uint8).reshape(256, 256, 256)
    if name == "n5":
        write_n5(tmp_path / "a", voxels, chunk=64, compression="raw")
    else:
        form = int(name[-1])
        write_zarr(tmp_path / "a", voxels, chunk=64, zarr_format=form, compressors=None)
    with serve_files(tmp_path) as server:
        array = open_source_image(Address.parse(f"{server.url}/a")).levels[0].array
        assert len(server.requests) <= 11
        server.requests.clear()
        server.sent = 0
        part = array[70:134, 60:124, 10:74]
        assert np.array_equal(part, voxels[70:134, 60:124, 10:74])
        assert len(server.requests) == chunks
        assert server.sent <= chunks * (64**3 + 100)


def test_the_check_for_replacement_opens_the_image_once(tmp_path, voxels, quick_retries):
    write_zarr(tmp_path / "a", voxels, FUNLIB)
    with serve_files(tmp_path) as server:
        volume = open_volume(f"{server.url}/a")
        opening = len(server.requests)
        check_not_replaced([volume])
        assert len(server.requests) <= 2 * opening <= 22


def test_only_the_needed_chunks_of_a_shard_are_read(tmp_path, quick_retries):
    voxels = np.arange(128**3, dtype=np.uint8).reshape(128, 128, 128)
    options = {"zarr_format": 3, "chunk": 32, "shards": (128, 128, 128), "compressors": None}
    write_zarr(tmp_path / "a", voxels, **options)
    with serve_files(tmp_path) as server:
        array = open_source_image(Address.parse(f"{server.url}/a")).levels[0].array
        server.sent = 0
        assert np.array_equal(array[:32, :32, 32:64], voxels[:32, :32, 32:64])
        assert 32**3 <= server.sent < 32**3 + 64 * 16 + 1000  # one chunk and the index


@pytest.mark.parametrize("path", ["cell.n5/em/s0", "zarr2.zarr/volumes/raw", "v05.zarr"])
@pytest.mark.parametrize("scheme", ["http", "s3"])
def test_pickle_to_another_process(web, s3, voxels, path, scheme, tmp_path):
    """Dask sends arrays to its workers, which have no connection and perhaps no environment."""
    base = web.url if scheme == "http" else s3
    array = open_source_image(Address.parse(f"{base}/{path}")).levels[0].array
    (tmp_path / "array.pickle").write_bytes(pickle.dumps(array))
    code = (
        "import pickle, sys, pathlib; "
        f"array = pickle.loads(pathlib.Path({str(tmp_path / 'array.pickle')!r}).read_bytes()); "
        "sys.stdout.buffer.write(array[3:20, 4:9, 5:30].tobytes())"
    )
    web.failures = 1  # the repetition of requests is pickled too
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=plain, capture_output=True, check=True)
    assert done.stdout == voxels[3:20, 4:9, 5:30].tobytes()


def test_missing(web, s3):
    fails(f"{web.url}/nothing.zarr", f"there is no image at {web.url}/nothing.zarr")
    fails(f"{s3}/nothing.zarr", f"there is no image at {s3}/nothing.zarr")
    missing = "there is no image at s3://no-such-bucket/a.n5; the bucket no-such-bucket does not"
    fails("s3://no-such-bucket/a.n5", missing)


def test_access_is_denied(web):
    web.status = 403
    fails(f"{web.url}/v05.zarr", "access is denied (HTTP 403)")
    web.status = 401
    fails(f"{web.url}/v05.zarr", "access is denied (HTTP 401)")


def test_missing_keys_of_a_bucket_that_must_not_be_listed(web, voxels, monkeypatch):
    """S3 then answers 403 instead of 404."""
    respond = type(web).respond

    def deny_missing(state, handler):
        exists = (state.folder / handler.path.lstrip("/")).is_file()
        respond(state if exists else replace(state, status=403), handler)

    monkeypatch.setattr(type(web), "respond", deny_missing)
    check_image(f"{web.url}/cell.n5/em/s0", voxels, PATHS["cell.n5/em/s0"])
    check_image(f"{web.url}/v04.zarr", voxels, PATHS["v04.zarr"])


def test_one_failure_is_repeated(web, voxels):
    web.failures = 2
    check_image(f"{web.url}/zarr2.zarr/volumes/raw", voxels, PATHS["zarr2.zarr/volumes/raw"])


def test_a_server_that_fails(web, monkeypatch):
    web.failures = 10**6
    fails(f"{web.url}/v05.zarr", "the server fails (HTTP 500)")
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    fails("s3://microscopy/v05.zarr", "s3://microscopy/v05.zarr", "the server fails")


def test_a_failure_while_reading(web):
    array = open_source_image(Address.parse(f"{web.url}/zarr2.zarr/volumes/raw")).levels[0].array
    web.status = 403
    with pytest.raises(OSError, match=r"volumes/raw: access is denied \(HTTP 403\)"):
        array[:, :, :]


@pytest.mark.parametrize("path", ["cell.n5/em/s0", "zarr2.zarr/volumes/raw", "v05.zarr"])
def test_a_page_in_html_instead_of_what_is_missing(web, voxels, path):
    """Web applications answer with their start page, and status 200, to each path."""
    web.page = b"\n<!DOCTYPE html><html>Welcome</html>"
    check_image(f"{web.url}/{path}", voxels, PATHS[path])
    fails(f"{web.url}/nothing.zarr", f"there is no image at {web.url}/nothing.zarr")


def test_a_redirection(web):
    web.status = 302
    fails(f"{web.url}/v05.zarr", "the server redirects; give the address that a browser shows")


def test_a_document_without_end(web, monkeypatch):
    monkeypatch.setattr(stores, "READ_SECONDS", 0.2)
    web.hangs = True
    fails(f"{web.url}/v05.zarr", "the server does not send it within 0.2 s")


def test_no_server(quick_retries):
    fails("http://127.0.0.1:9/a.zarr", "the server cannot be reached")


def test_a_server_that_never_answers(web):
    """The limit is read at the first request of a process, therefore this is another one."""
    web.hangs = True
    code = (
        "import tensorstore; from asem.volume.formats import stores; "
        "stores.RETRIES = {'max_retries': 1, 'initial_delay': '10ms', 'max_delay': '20ms'}; "
        "from asem.workflows.describe import describe_volume; "
        f"describe_volume('{web.url}/a.zarr')"
    )
    limits = {"TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | limits, capture_output=True, timeout=60,
        text=True, check=False,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == (
        f"OSError: {web.url}/a.zarr/zarr.json: the server does not answer in time"
    )


def test_default_limits_end_within_a_minute():
    limits = stores.CURL_LIMITS
    tries = 1 + stores.RETRIES["max_retries"]
    assert tries * int(limits["TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS"]) <= 50
    assert all(os.environ[name] for name in limits)


def test_requests_are_signed_where_there_are_credentials(web, voxels, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    url = f"s3://{web.folder.name}/v05.zarr"
    web.folder = web.folder.parent  # the bucket is the first part of the path
    check_image(url, voxels, PATHS["v05.zarr"])
    assert not any("authorization:" in headers.lower() for headers in web.headers)
    forget_connections()
    web.headers.clear()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-an-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    check_image(url, voxels, PATHS["v05.zarr"])
    assert all("authorization:" in headers.lower() for headers in web.headers)
    web.status = 403
    error = fails(url, "access is denied")
    assert SECRET not in error
    assert "AKIA" not in error


@pytest.mark.parametrize(
    "endpoint",
    [
        f"bad endpoint {SECRET}",
        f"https://AKIA:{SECRET}@host",
        f"https://host?key={SECRET}",
        f"file:///{SECRET}",
        f"http://{SECRET}:port",
        f"http://host:9{SECRET}",
        f"https://host/\n{SECRET}",
        "https://",
    ],
)
@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
def test_an_endpoint_that_is_not_a_server_is_not_repeated(s3, monkeypatch, endpoint, name):
    monkeypatch.setenv(name, endpoint)
    error = fails(f"{s3}/v05.zarr", f"the environment variable {name} is not the URL of a server")
    assert SECRET not in error
    assert "AKIA" not in error
    with pytest.raises(ValueError, match=f"environment variable {name} is not the URL"):
        list_entries(Address.parse(s3))


def test_private_files_need_credentials(files, bucket, s3, voxels, monkeypatch):
    upload(bucket, "microscopy", files / "zarr3.zarr", "private/zarr3.zarr", acl="private")
    url = "s3://microscopy/private/zarr3.zarr/raw"
    fails(url, url, "access is denied (HTTP 403)")
    forget_connections()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-an-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    check_image(url, voxels, PATHS["zarr3.zarr/raw"])


def test_credentials_are_not_pickled(web, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA-an-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    url, web.folder = f"s3://{web.folder.name}/v05.zarr", web.folder.parent
    array = open_source_image(Address.parse(url)).levels[0].array
    assert SECRET.encode() not in pickle.dumps(array)
    assert SECRET not in repr(array)


def test_a_container_in_a_bucket(s3):
    fails(
        f"{s3}/cell.n5",
        f"{s3}/cell.n5 is a container; name one of its images: em, as in {s3}/cell.n5/em",
    )  # fmt: skip
    fails(f"{s3}/zarr2.zarr", "images: volumes/raw, as in")
    fails("s3://microscopy", "s3://microscopy is a container", "data/v04.zarr")
    assert find_images(f"{s3}/cell.n5") == [Address(f"{s3}/cell.n5/em")]
    assert {f"{s3}/{path}" for path in ("zarr2.zarr/volumes/raw", "v04.zarr")} <= {
        str(image) for image in find_images("s3://microscopy")
    }
    assert find_images(f"{s3}/v04.zarr") == []


def test_info_lists_a_container_in_a_bucket(s3, capsys):
    assert main(["info", f"{s3}/cell.n5"]) == 0
    out = capsys.readouterr().out
    assert f"{s3}/cell.n5/em" in out
    assert "N5, 40 x 36 x 33 voxels, 5.24 x 4 x 4 nm, uint16" in out


@pytest.mark.parametrize("answer", [b"garbage\r\n\r\n", b"HTTP/1.1 200 " + b"x" * 70_000])
def test_a_list_that_is_no_http(web, monkeypatch, answer):
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    missing = type(web).respond

    def respond(state, handler):
        if "list-type" in handler.path:
            handler.wfile.write(answer)
        else:
            missing(state, handler)

    monkeypatch.setattr(type(web), "respond", respond)
    fails("s3://microscopy/nothing", "there is no image at s3://microscopy/nothing")


def test_a_list_that_is_sent_byte_by_byte(web, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", web.url)
    monkeypatch.setattr(listing, "TIMEOUT_S", 0.5)

    def respond(state, handler):
        if "list-type" not in handler.path:
            handler.send_error(404)
            return
        handler.send_response(200)
        handler.end_headers()
        with suppress(OSError):
            for _ in range(100):
                handler.wfile.write(b" ")
                time.sleep(0.1)

    monkeypatch.setattr(type(web), "respond", respond)
    start = time.monotonic()
    assert list_entries(Address.parse("s3://microscopy/nothing")) == ([], True)
    assert time.monotonic() - start < 8


def test_a_container_is_listed_with_credentials(s3, monkeypatch):
    """Where a request without signature is denied, all keys are listed."""
    monkeypatch.setattr("asem.volume.formats.listing._list_s3", lambda address: [])
    fails(f"{s3}/cell.n5", "images: em, as in")


def test_a_container_on_a_web_server(web):
    fails(
        f"{web.url}/cell.n5",
        "is no image but a container (attributes.json), which the server does not list",
    )


def test_consolidated_metadata_list_a_container(tmp_path, voxels, quick_retries):
    zarr.open_group(str(tmp_path / "c.zarr"), mode="w", zarr_format=2)
    write_zarr(tmp_path / "c.zarr/raw", voxels)
    zarr.consolidate_metadata(str(tmp_path / "c.zarr"), zarr_format=2)
    with serve_files(tmp_path) as server:
        fails(f"{server.url}/c.zarr", f"images: raw, as in {server.url}/c.zarr/raw")


def test_a_large_document_is_not_downloaded(tmp_path, monkeypatch, quick_retries):
    monkeypatch.setattr(stores, "MAX_JSON_BYTES", 1000)
    (tmp_path / "a").mkdir()
    with serve_files(tmp_path) as server:
        (tmp_path / "a/info").write_text('{"a": 1}' + " " * 992)
        fails(
            f"{server.url}/a", "is no image but a container (info), which the server does not list"
        )
        server.sent = 0
        (tmp_path / "a/info").write_bytes(b" " * 10**6)
        fails(f"{server.url}/a", "a/info is too large; at most 1000 bytes are read")
        assert server.sent < 1000
        server.ranges = False
        fails(f"{server.url}/a", "a/info is too large; at most 1000 bytes are read")


def test_a_checkpoint_is_larger_than_a_document(tmp_path, monkeypatch, quick_retries):
    monkeypatch.setattr(stores, "MAX_JSON_BYTES", 1000)
    content = bytes(range(256)) * 40
    (tmp_path / "model.pt").write_bytes(content)
    with serve_files(tmp_path) as server:
        for address in (f"{server.url}/model.pt", str(tmp_path / "model.pt")):
            read = stores.read_bytes(Address.parse(address), max_bytes=2**20, timeout_s=60)
            assert read == content


def test_damaged_files(tmp_path, voxels, quick_retries):
    folder = write_zarr(tmp_path / "a", voxels, FUNLIB)
    with serve_files(tmp_path) as server:
        (folder / ".zattrs").write_text("{")
        fails(f"{server.url}/a", ".zattrs is damaged")
        (folder / ".zattrs").write_text("{}")
        (folder / "0.0.0").write_bytes(b"short")
        array = open_source_image(Address.parse(f"{server.url}/a")).levels[0].array
        with pytest.raises(ValueError, match=r"/a cannot be read: ") as error:
            array[:8, :8, :8]
        assert "\n" not in str(error.value)
