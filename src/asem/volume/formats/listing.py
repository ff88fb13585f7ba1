"""List the names in a folder, local or in a bucket that may be listed."""

import html
import os
import re
import time
from http.client import HTTPException
from itertools import islice
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlencode
from urllib.request import urlopen

from asem.volume.address import Address
from asem.volume.formats.s3_access import s3_endpoint
from asem.volume.formats.stores import list_keys

MAX_ENTRIES = 1000
"""Names in one folder; S3 returns at most as many in one page."""
MAX_READ_ENTRIES = 100_000
"""Names in a local folder that are read to sort them."""
MAX_PAGE_BYTES = 2**22
PART_BYTES = 2**16
TIMEOUT_S = 10.0
_HIDDEN = re.compile(r"\.|.*[\x00-\x1f\x7f\ud800-\udfff]", flags=re.DOTALL)
"""Names that are not listed: hidden, of several lines, or not UTF-8."""
_PREFIX = re.compile(r"<CommonPrefixes>\s*<Prefix>(.*?)</Prefix>", flags=re.DOTALL)


def list_entries(address: Address) -> tuple[list[str], bool]:
    """Return the names in a folder, sorted, and whether they are all of them.

    Of a remote folder, only folders; none where it cannot be listed. Hidden names, and those that
    are no text of one line, are left out. S3 is requested to return folders instead of all keys, of
    which a large volume has millions; that request is not signed. Where it is denied, all keys are
    listed for a limited time.
    """
    names = _list_local(address) if not address.is_remote else _list_remote(address)
    plain = sorted(name for name in names if _HIDDEN.match(name) is None)
    return plain[:MAX_ENTRIES], len(names) < MAX_READ_ENTRIES and len(plain) <= MAX_ENTRIES


def describe_bucket(address: Address) -> str:
    """Return why nothing is found in a bucket of S3, as advice; empty where that is not clear."""
    if address.scheme != "s3":
        return ""
    bucket = address.location.partition("://")[2].partition("/")[0]
    try:
        with urlopen(f"{s3_endpoint(bucket)}/?list-type=2&max-keys=1", timeout=TIMEOUT_S):
            return ""
    except HTTPError as error:
        with error:
            page = _read_page(error).decode(errors="replace")
    except (URLError, HTTPException, OSError, ValueError):
        return ""
    if "NoSuchBucket" in page:
        return f"; the bucket {bucket} does not exist"
    return "; the bucket may not be listed: give the whole path" if "AccessDenied" in page else ""


def _list_local(address: Address) -> list[str]:
    try:
        with os.scandir(address.path) as entries:
            return [entry.name for entry in islice(entries, MAX_READ_ENTRIES)]
    except OSError:
        return []


def _list_remote(address: Address) -> list[str]:
    if address.scheme == "s3" and (names := _list_s3(address)):
        return names
    if address.scheme in ("s3", "gs"):
        keys = list_keys(address, timeout_s=TIMEOUT_S)
        return list({key.partition("/")[0] for key in keys if "/" in key})
    return []


def _read_page(response: IO[bytes]) -> bytes:
    """Read for a limited time: a server may send a page byte by byte, without end."""
    end, page = time.monotonic() + TIMEOUT_S, b""
    while len(page) < MAX_PAGE_BYTES and time.monotonic() < end:
        part = response.read1(PART_BYTES)  # type: ignore[attr-defined]
        if not part:
            break
        page += part
    return page


def _list_s3(address: Address) -> list[str]:
    bucket, _, path = address.location.partition("://")[2].partition("/")
    prefix = f"{path}/" if path else ""
    query = {"list-type": "2", "delimiter": "/", "prefix": prefix, "encoding-type": "url"}
    url = f"{s3_endpoint(bucket)}/?{urlencode(query, quote_via=quote)}"
    try:
        with urlopen(url, timeout=TIMEOUT_S) as response:
            page = _read_page(response).decode(errors="replace")
    except (URLError, HTTPException, OSError, ValueError):
        return []
    found = (unquote(html.unescape(match)) for match in _PREFIX.findall(page))
    names = (one.removeprefix(prefix).rstrip("/") for one in found)
    return sorted(name for name in names if name and "/" not in name)
