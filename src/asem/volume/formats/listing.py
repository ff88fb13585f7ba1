"""List the folders in a folder, local or in a bucket that may be listed."""

import html
import re
from urllib.error import URLError
from urllib.parse import quote, unquote, urlencode
from urllib.request import urlopen

from asem.volume.address import Address
from asem.volume.formats.s3_access import s3_endpoint
from asem.volume.formats.stores import list_keys

MAX_SUBFOLDERS = 1000
"""Folders in one folder; S3 returns at most as many in one page."""
MAX_PAGE_BYTES = 2**22
TIMEOUT_S = 10.0
_PREFIX = re.compile(r"<CommonPrefixes>\s*<Prefix>(.*?)</Prefix>", flags=re.DOTALL)


def list_subfolders(address: Address) -> list[str]:
    """Return the names of the folders in a folder, sorted; empty where it cannot be listed.

    S3 is requested to return folders instead of all keys, of which a large volume has millions;
    that request is not signed. Where it is denied, all keys are listed for a limited time.
    """
    if not address.is_remote:
        return _list_local(address)
    if address.scheme == "s3" and (names := _list_s3(address)):
        return names
    if address.scheme in ("s3", "gs"):
        keys = list_keys(address, timeout_s=TIMEOUT_S)
        return sorted({key.partition("/")[0] for key in keys if "/" in key})[:MAX_SUBFOLDERS]
    return []


def _list_local(address: Address) -> list[str]:
    try:
        entries = [one.name for one in address.path.iterdir() if one.is_dir()]
    except OSError:
        return []
    return sorted(name for name in entries if not name.startswith("."))[:MAX_SUBFOLDERS]


def _list_s3(address: Address) -> list[str]:
    bucket, _, path = address.location.partition("://")[2].partition("/")
    prefix = f"{path}/" if path else ""
    query = {"list-type": "2", "delimiter": "/", "prefix": prefix, "encoding-type": "url"}
    url = f"{s3_endpoint(bucket)}/?{urlencode(query, quote_via=quote)}"
    try:
        with urlopen(url, timeout=TIMEOUT_S) as response:
            page = response.read(MAX_PAGE_BYTES).decode(errors="replace")
    except (URLError, OSError, ValueError):
        return []
    found = (unquote(html.unescape(match)) for match in _PREFIX.findall(page))
    names = (one.removeprefix(prefix).rstrip("/") for one in found)
    return sorted(name for name in names if name and "/" not in name)
