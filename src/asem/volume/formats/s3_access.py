"""Server, region and credentials of S3, from the environment as AWS tools read it.

::

    AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL    server with the interface of S3; else Amazon's
    AWS_REGION, AWS_DEFAULT_REGION           region; else it is found by a request
    AWS_ACCESS_KEY_ID, AWS_PROFILE, ...      requests are signed where one is set

Messages do not repeat the values, which may contain secrets.
"""

import os
import re
from typing import Any
from urllib.parse import SplitResult, urlsplit

CREDENTIAL_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
"""Where one of them is set, requests to S3 are signed."""
ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Address of a server with the interface of S3, instead of Amazon's; the first one that is set."""
REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")
DEFAULT_REGION = "us-east-1"
"""Region of a server that is not Amazon's."""
_NOT_PRINTABLE = re.compile(r"[^!-~]")


def s3_endpoint(bucket: str) -> str:
    """Return the URL of a bucket: at the endpoint in the environment, else at Amazon.

    Raises
    ------
    ValueError
        The endpoint is not the URL of a server.
    """
    endpoint = _read_endpoint()
    return f"{endpoint}/{bucket}" if endpoint else f"https://{bucket}.s3.amazonaws.com"


def s3_options() -> dict[str, Any]:
    """Return the entries of tensorstore's specification: endpoint, region, no credentials.

    Raises
    ------
    ValueError
        The endpoint is not the URL of a server.
    """
    endpoint, region = _read_endpoint(), _first_value(REGION_VARIABLES)[1]
    options: dict[str, Any] = {}
    if endpoint:
        options |= {"endpoint": endpoint, "aws_region": region or DEFAULT_REGION}
    elif region:
        options["aws_region"] = region
    if not _first_value(CREDENTIAL_VARIABLES)[1]:
        options["aws_credentials"] = {"type": "anonymous"}
    return options


def _first_value(names: tuple[str, ...]) -> tuple[str, str]:
    """Return the first variable that is set, and its value; two empty texts where none is."""
    return next(((name, os.environ[name]) for name in names if os.environ.get(name)), ("", ""))


def _read_endpoint() -> str:
    """Return the endpoint without trailing slash; empty where none is set."""
    name, value = _first_value(ENDPOINT_VARIABLES)
    if value and not _is_server(value):
        raise ValueError(
            f"the environment variable {name} is not the URL of a server; set it to "
            "https://HOST or http://HOST:PORT, without user, password and query"
        )
    return value.rstrip("/")


def _is_server(url: str) -> bool:
    try:
        parts: SplitResult = urlsplit(url)
        host, _ = parts.hostname, parts.port  # the port is checked when it is read
    except ValueError:
        return False
    is_plain = "@" not in parts.netloc and not (parts.query or parts.fragment)
    return (
        parts.scheme in ("http", "https")
        and bool(host)
        and is_plain
        and (_NOT_PRINTABLE.search(url) is None)
    )
