"""Addresses of images: a local path or a URL, with a dataset in a file and a pyramid level.

::

    cell.zarr/raw                          a local path
    file:///data/cell.zarr/raw             the same as a URL
    s3://bucket/cell.n5/em/fibsem/s0       a URL: s3, gs, http, https
    cell.h5:/volumes/raw                   a dataset in an HDF5 file
    cell.zarr/raw#2                        level 2 of a pyramid; level 0 is the finest

The format that neuroglancer adds to a URL (``precomputed://s3://...``, ``s3://...|zarr3:``) is left
out: it is recognized.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from asem.config import shorten

REMOTE_SCHEMES = ("s3", "gs", "http", "https")
"""Schemes of URLs on other machines."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ONE_SLASH = re.compile(r"(s3|gs|https?|file):/(?!/)", flags=re.IGNORECASE)
"""A URL that was converted to a `Path`, which merges slashes."""
_NEUROGLANCER = re.compile(
    r"(?:(?:precomputed|n5|zarr[23]?)://)?(?P<url>(?:s3|gs|https?)://.*?)"
    r"(?:/?\|(?:neuroglancer-precomputed|n5|zarr[23]?):/?)?",
    flags=re.IGNORECASE | re.DOTALL,
)
"""A URL with the format before or behind it, as in a source of neuroglancer."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LEVEL = re.compile(r"(.+)#(\d{1,3})", flags=re.DOTALL)
_DATASET = re.compile(r"(.*?[^:/]):(/[^/].*)", flags=re.DOTALL)


@dataclass(frozen=True)
class Address:
    """Address of an image.

    Parameters
    ----------
    location
        Local path, or URL; without trailing slash.
    dataset
        Path of a dataset in an HDF5 file, which starts with ``/``; empty: none.
    level
        Pyramid level; None: the finest.

    Examples
    --------
    >>> Address.parse("s3://bucket/cell.n5/em/s0/").name
    's0'
    >>> str(Address.parse("precomputed://gs://bucket/image"))
    'gs://bucket/image'
    >>> Address.parse("cell.h5:/volumes/raw").dataset
    '/volumes/raw'
    >>> str(Address.parse("cell.zarr/raw#2"))
    'cell.zarr/raw#2'
    """

    location: str
    dataset: str = ""
    level: int | None = None

    @classmethod
    def parse(cls, text: "str | Path | Address") -> "Address":
        """Read an address; a path or an address is returned as it is.

        A local file whose name contains ``#`` or ``:`` is found by its whole name.

        Raises
        ------
        ValueError
            It is empty, the scheme is not allowed, the bucket or host is missing, the URL contains
            credentials or a query, which the message does not repeat, or it has one slash.
        """
        if isinstance(text, Address):
            return text
        if text == "":
            raise ValueError("the address is empty; give a path or a URL, . for this folder")
        if isinstance(text, str) and (source := _NEUROGLANCER.fullmatch(text)):
            text = source["url"]
        scheme = _SCHEME.match(text) if isinstance(text, str) else None
        if scheme is None and _exists(text):
            return cls(str(Path(text)))
        if one_slash := _ONE_SLASH.match(str(text)):
            raise ValueError(
                f"{one_slash[1]}:/... has one slash; give the URL as text, {one_slash[1]}://..., "
                "not as a Path"
            )
        if isinstance(text, Path):
            return cls(str(text))
        level = _LEVEL.fullmatch(text)
        location, number = (level[1], int(level[2])) if level else (text, None)
        if scheme is None:
            inner = None if _exists(location) else _DATASET.fullmatch(location)
            path, dataset = (inner[1], inner[2]) if inner else (location, "")
            return cls(str(Path(path)), dataset, number)
        inner = _DATASET.fullmatch(location)
        url, dataset = (inner[1], inner[2]) if inner else (location, "")
        if scheme[1].lower() == "file":
            return cls(_file_url_path(url), _unquote(dataset), number)
        return cls(_check_url(url), dataset, number)

    @property
    def is_remote(self) -> bool:
        """Whether this is a URL on another machine."""
        return _SCHEME.match(self.location) is not None

    @property
    def scheme(self) -> str:
        """``"file"`` or the scheme of the URL."""
        return urlsplit(self.location).scheme if self.is_remote else "file"

    @property
    def path(self) -> Path:
        """The local path.

        Raises
        ------
        ValueError
            This is a URL.
        """
        if self.is_remote:
            raise ValueError(f"{self} is a URL; a local path is needed here")
        return Path(self.location)

    @property
    def local_path(self) -> Path | None:
        """The local path, or None for a URL."""
        return None if self.is_remote else Path(self.location)

    @property
    def name(self) -> str:
        """The last part of the path, or of the dataset in it."""
        return PurePosixPath(self.dataset or self.location).name

    def join(self, *parts: str) -> "Address":
        """Return the address of something below this one; without dataset and level.

        Raises
        ------
        ValueError
            A part is absolute or contains ``..``: metadata of strangers must not lead elsewhere.
        """
        for part in parts:
            if part.startswith("/") or ".." in part.split("/"):
                raise ValueError(f"{self} names {shorten(part)}, which is not a path below it")
        return Address("/".join((self.location.rstrip("/"), *parts)) or "/")

    def parent(self) -> "Address":
        """Return the address of the folder that contains this one; of the root: itself."""
        if not self.is_remote:
            return Address(str(Path(self.location).parent))
        head, _, path = self.location.partition("://")
        above = path.rpartition("/")[0] or path
        return Address(f"{head}://{above}")

    def within(self, folder: Path) -> Self:
        """Return this address with a relative local path taken from `folder`."""
        return self if self.is_remote else replace(self, location=str(folder / self.location))

    def __str__(self) -> str:
        """Return the address as it can be parsed."""
        dataset = f":{self.dataset}" if self.dataset else ""
        return f"{self.location}{dataset}" + ("" if self.level is None else f"#{self.level}")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read texts and paths in configurations; write texts."""
        return core_schema.no_info_plain_validator_function(
            _parse_value, serialization=core_schema.to_string_ser_schema()
        )


AddressLike = str | Path | Address
"""What functions take as the address of an image."""


def local_paths(*addresses: AddressLike | None) -> list[Path]:
    """Return the local paths among addresses."""
    parsed = [Address.parse(address) for address in addresses if address is not None]
    return [path for address in parsed if (path := address.local_path) is not None]


def parse_output_path(text: str | Path) -> Path:
    """Read the path of an output.

    Raises
    ------
    ValueError
        It is a URL.
    """
    if scheme := _SCHEME.match(str(text)) or _ONE_SLASH.match(str(text)):
        raise ValueError(
            f"{shorten(scheme[1], str)}://... is a URL, and outputs are local paths; write to a "
            "local folder and copy it"
        )
    return Path(text)


def _parse_value(value: Any) -> Address:
    if not isinstance(value, str | Path | Address):
        raise ValueError("a path or a URL is needed, as text")
    return Address.parse(value)


def _exists(text: str | Path) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long, or with a null byte
        return False


def _split_url(url: str) -> SplitResult:
    """Return the parts of a URL; raise ValueError where they are not clear."""
    scheme = shorten(url.partition("://")[0], str)
    if _CONTROL.search(url):  # urlsplit would remove some of them
        raise ValueError(f"{scheme}://... contains a control character, as a line break or a tab")
    try:
        return urlsplit(url)
    except ValueError as error:
        raise ValueError(f"{scheme}://... is not a URL: a bracket in its host") from error


def _file_url_path(url: str) -> str:
    """Return the local path of a URL ``file:///...``; raise ValueError for another host."""
    parts = _split_url(url)
    if parts.query or parts.fragment:
        raise ValueError("file://... contains a query or a fragment; write %3F for ? and %23 for #")
    if parts.netloc not in ("", "localhost"):
        raise ValueError(
            "file://HOST/... names another computer; write file:/// with three slashes before an "
            "absolute path"
        )
    if not parts.path:
        raise ValueError("file:// needs an absolute path, as in file:///data/cell.zarr")
    return str(Path(_unquote(parts.path)))


def _unquote(text: str) -> str:
    """Return a part of a URL without percent encoding; bytes that are not UTF-8 are kept."""
    return unquote(text, errors="surrogateescape")


def _check_url(url: str) -> str:
    """Return a URL without trailing slash; raise ValueError where it cannot be used."""
    parts = _split_url(url)
    scheme = parts.scheme.lower()
    if scheme not in REMOTE_SCHEMES:
        allowed = ", ".join(f"{name}://" for name in (*REMOTE_SCHEMES, "file"))
        raise ValueError(f"{shorten(scheme, str)}:// is not a URL that can be read; use {allowed}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        host = shorten(parts.netloc.rpartition("@")[2], str)
        raise ValueError(
            f"the URL at {scheme}://{host} contains a user, a query or a fragment; give a plain "
            "URL, and credentials in the environment (docs/formats.md)"
        )
    if not parts.netloc:
        raise ValueError(f"{scheme}:// needs a {'bucket' if scheme in ('s3', 'gs') else 'host'}")
    path = parts.path.rstrip("/")
    if ".." in path.split("/"):
        raise ValueError(f"{scheme}://{parts.netloc}: '..' is not allowed in a URL")
    return f"{scheme}://{parts.netloc}{path}"
