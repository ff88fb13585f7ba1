"""Read metadata documents and open arrays in folders, buckets and on web servers (tensorstore).

::

    read_document(address)       one JSON object, or None where it is missing
    open_store(address, driver)  a lazy tensorstore array

A local path and a URL (s3, gs, http, https) are read by the same code. Server and credentials of
S3 are those in the environment (`asem.volume.formats.s3_access`).
"""

import hashlib
import json
import os
import re
from functools import lru_cache
from typing import Any

import tensorstore as ts

from asem.system.files import check_utf8_path, open_regular_file
from asem.system.json_toml import MAX_JSON_BYTES, parse_json
from asem.volume.address import Address
from asem.volume.formats.s3_access import s3_options

CURL_LIMITS = {
    "TENSORSTORE_CURL_CONNECT_TIMEOUT_SECONDS": "10",
    "TENSORSTORE_CURL_LOW_SPEED_TIME_SECONDS": "10",
    "TENSORSTORE_CURL_LOW_SPEED_LIMIT_BYTES": "1",
}
"""Time to connect, and time without a byte, after which a request fails; a minute with `RETRIES`.
tensorstore reads them from the environment at its first request; without them it has no limit."""
for _name, _value in CURL_LIMITS.items():
    os.environ.setdefault(_name, _value)
RETRIES = {"max_retries": 4, "initial_delay": "500ms", "max_delay": "8s"}
"""Repetition of requests that failed for a temporary reason."""
READ_SECONDS = 90.0
"""Time for a whole document, with repetitions; a server may send it byte by byte, without end."""
MAX_REASON_CHARACTERS = 300
"""Characters of a message of tensorstore that are repeated."""
LOCAL_REASONS = ((r"PERMISSION_DENIED", "access is denied"),)
REMOTE_REASONS = (
    (r"HTTP code 401", "access is denied (HTTP 401)"),
    (r"PERMISSION_DENIED|HTTP code 403|AccessDenied", "access is denied (HTTP 403)"),
    (r"HTTP code 3\d\d", "the server redirects; give the address that a browser shows then"),
    (r"UNAUTHENTICATED", "access needs credentials"),
    (r"timed? ?out|DEADLINE_EXCEEDED", "the server does not answer in time"),
    (r"Could not (resolve|connect)", "the server cannot be reached"),
    (r"NoSuchBucket", "the bucket does not exist"),
    (r"HTTP code (5\d\d)", "the server fails (HTTP {0})"),
    (r"HTTP code 429|SlowDown", "too many requests (HTTP 429)"),
    (
        r"byte range .* ignored by server",
        "the server does not support requests for a part of a file, which sharded arrays need; "
        "download it first",
    ),
    (r"retry attempts failed", "the server fails"),
)
"""Regular expressions of messages of tensorstore, and what they mean."""


def read_document(address: Address) -> dict[str, Any] | None:
    """Read a JSON object; return None where nothing exists at the address.

    Many web servers answer with a page in HTML, and status 200, where nothing exists.

    Raises
    ------
    OSError
        The server or the file system refuses to return it.
    ValueError
        It is not JSON, not an object, nested too deeply or too large.
    """
    content = read_bytes(address, max_bytes=MAX_JSON_BYTES, timeout_s=READ_SECONDS)
    if content is None or (address.is_remote and content.lstrip()[:1] == b"<"):
        return None
    document = parse_json(content, source=str(address))
    if not isinstance(document, dict):
        raise ValueError(f"{address} is not a JSON object")
    return document


def read_optional_document(address: Address) -> dict[str, Any]:
    """Read a JSON object; return an empty one where it is missing, or access to it is denied.

    A bucket that must not be listed denies access to what does not exist (S3: HTTP 403).
    """
    try:
        return read_document(address) or {}
    except PermissionError:
        return {}


def read_bytes(address: Address, *, max_bytes: int, timeout_s: float) -> bytes | None:
    """Read a whole file or object; return None where it is missing.

    Parameters
    ----------
    address
        The file or object.
    max_bytes
        Largest size.
    timeout_s
        Time for the whole of a remote object, with repetitions.

    Raises
    ------
    OSError
        It cannot be read, or not in time.
    ValueError
        It has more than `max_bytes`.
    """
    if address.is_remote:
        content = _read_remote(address, max_bytes, timeout_s)
    else:
        content = _read_local(address, max_bytes)
    if content is not None and len(content) > max_bytes:
        raise _too_large(address, max_bytes)
    return content


def open_store(address: Address, driver: str, **spec: Any) -> Any:
    """Open an array to read; only its metadata is read.

    Parameters
    ----------
    address
        Folder of the array.
    driver
        tensorstore's name of the format: ``"zarr"``, ``"zarr3"``, ``"n5"``,
        ``"neuroglancer_precomputed"``.
    **spec
        Further entries of tensorstore's specification.

    Returns
    -------
    tensorstore.TensorStore
        The lazy array in the order of axes of the format.

    Raises
    ------
    OSError
        The server or the file system refuses access.
    ValueError
        The metadata is missing or invalid, or the codec is unknown.
    """
    full = {"driver": driver, "kvstore": make_kvstore_spec(address), "open": True, **spec}
    try:  # an argument `open` would override the entry `assume_metadata`
        return ts.open(full, read=True, context=_context()).result()
    except ValueError as error:
        raise translate_error(error, address) from error


def list_keys(address: Address, *, timeout_s: float) -> list[str]:
    """Return all keys in a folder of a bucket; none where it must not be listed, or in time."""
    try:
        listed = _open_kvstore(_store_key(address)).list()
        return [key.decode(errors="replace") for key in listed.result(timeout=timeout_s)]
    except (ValueError, TimeoutError):
        return []


def make_kvstore_spec(address: Address) -> dict[str, Any]:
    """Return tensorstore's specification of the folder at an address."""
    if not address.is_remote:
        check_utf8_path(address.path)
        return {"driver": "file", "path": f"{address.path.resolve()}/"}
    head, _, rest = address.location.partition("://")
    host, _, path = rest.partition("/")
    folder = f"{path}/" if path else ""
    if head == "s3":
        return {"driver": "s3", "bucket": host, "path": folder, **s3_options()}
    if head == "gs":
        return {"driver": "gcs", "bucket": host, "path": folder}
    return {"driver": "http", "base_url": f"{head}://{host}/", "path": folder}


def translate_error(error: Exception, address: Address) -> Exception:
    """Return an error of one line for an error of tensorstore: OSError where access failed."""
    text = str(error).split(" [tensorstore_spec=")[0]
    for pattern, reason in REMOTE_REASONS if address.is_remote else LOCAL_REASONS:
        if match := re.search(pattern, text, flags=re.IGNORECASE):
            error_class = PermissionError if "denied" in reason else OSError
            return error_class(f"{address}: {reason.format(*match.groups())}")
    return ValueError(f"{address} cannot be read: {first_line(error)}")


def first_line(error: Exception) -> str:
    """Return the first sentence of an error of tensorstore, without its code and context."""
    line = str(error).splitlines()[0].split(" [")[0]
    return re.sub(r"^[A-Z_]+: ", "", line)[:MAX_REASON_CHARACTERS]


def digest_documents(address: Address, documents: list[Any]) -> str:
    """Return an identity of a remote image: its address and a digest of its metadata."""
    content = json.dumps(documents, sort_keys=True).encode()
    return f"{address} (metadata {hashlib.sha256(content).hexdigest()[:16]})"


def _too_large(address: Address, max_bytes: int) -> ValueError:
    return ValueError(f"{address} is too large; at most {max_bytes} bytes are read")


def _read_remote(address: Address, max_bytes: int, timeout_s: float) -> bytes | None:
    """Read an object; one byte after the limit is requested first, which must not exist."""
    base, key = address.parent(), address.location.rpartition("/")[2]
    try:
        store = _open_kvstore(_store_key(base))
        state = _find_state(store, key, max_bytes)
        result = store.read(key).result(timeout=timeout_s) if state == "small" else None
    except ValueError as error:
        raise translate_error(error, address) from error
    except TimeoutError as error:
        raise OSError(f"{address}: the server does not send it within {timeout_s:g} s") from error
    if state == "large":
        raise _too_large(address, max_bytes)
    return bytes(result.value) if result is not None and result.state == "value" else None


def _find_state(store: Any, key: str, max_bytes: int) -> str:
    """Return whether an object is ``"missing"``, ``"small"`` or ``"large"``.

    tensorstore fails where an object ends within a range, so that the limit cannot be one. A server
    that ignores ranges sends the whole object.
    """
    last = slice(max_bytes, max_bytes + 1)
    try:
        state: str = store.read(key, byte_range=last).result(timeout=READ_SECONDS).state
    except ValueError as error:
        if re.match("OUT_OF_RANGE|FAILED_PRECONDITION", str(error)):
            return "small"
        raise
    return "large" if state == "value" else state


def _read_local(address: Address, max_bytes: int) -> bytes | None:
    if address.path.is_dir():
        return None
    try:
        with open_regular_file(address.path) as file:
            return file.read(max_bytes + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None


@lru_cache(maxsize=1)
def _context() -> Any:
    return ts.Context({"http_request_retries": RETRIES, "s3_request_retries": RETRIES,
                       "gcs_request_retries": RETRIES})  # fmt: skip


def _store_key(address: Address) -> str:
    return json.dumps(make_kvstore_spec(address), sort_keys=True)


@lru_cache(maxsize=64)
def _open_kvstore(spec: str) -> Any:
    return ts.KvStore.open(json.loads(spec), context=_context()).result()
