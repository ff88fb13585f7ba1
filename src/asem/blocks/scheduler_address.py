"""Whether what a user names is an address, and whether a Dask scheduler answers there.

Dask's client waits without end for a port that accepts connections and sends nothing, and takes the
first bytes of other protocols (HTTP, SSH) for a number of bytes to make room for.
"""

import asyncio
import threading
from concurrent.futures import Future
from ipaddress import ip_address
from typing import Any

from distributed.comm import get_address_host, parse_address, parse_host_port, resolve_address
from distributed.comm.registry import get_backend
from distributed.core import rpc
from distributed.security import Security

from asem.config import excerpt

NETWORK = ("tcp", "tls", "ws", "wss")
"""Protocols whose addresses are a host and a port."""
MOST_PORT = 65_535
TO_END_SECONDS = 5
"""For a thread to end after its time is over."""


def refuse_no_address(address: str) -> None:
    """Raise ValueError where nothing can answer at an address, whoever runs what.

    Examples
    --------
    >>> refuse_no_address("tls://host:8786"), refuse_no_address("[::1]:8786")
    (None, None)
    >>> refuse_no_address("host:99999")
    Traceback (most recent call last):
    ValueError: --scheduler 'host:99999' is no address of a Dask scheduler: 99999 is no port, 1 to \
65535; give one like tls://host:8786, or a TOML file of jobs
    """
    try:
        _parse(address)
    except ValueError as error:
        raise ValueError(
            f"--scheduler {excerpt(address)} is no address of a Dask scheduler: {error}; give one "
            "like tls://host:8786, or a TOML file of jobs"
        ) from error


def _parse(address: str) -> None:
    scheme, place = parse_address(address)
    get_backend(scheme)
    if scheme not in NETWORK:
        return
    host, port = parse_host_port(place)
    if not host or any(letter.isspace() or letter in "/@\0" for letter in host):
        raise ValueError("it names no host")
    if not 1 <= port <= MOST_PORT:
        raise ValueError(f"{port} is no port, 1 to {MOST_PORT}")


def identify(address: str, patience: float) -> None:
    """Return if a Dask scheduler answers within `patience` seconds.

    Raises
    ------
    OSError, ValueError, MemoryError, TypeError
        None does (TimeoutError: no answer in time), or as Dask's client raises it.
    """
    found: Future[dict[str, Any]] = Future()

    def ask() -> None:
        try:
            found.set_result(asyncio.run(asyncio.wait_for(_identity(address), patience)))
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
            found.set_exception(error)

    # A thread, since the caller may have a loop of events; asyncio waits for names of hosts.
    threading.Thread(target=ask, daemon=True).start()
    kind = found.result(patience + TO_END_SECONDS).get("type")
    if kind != "Scheduler":
        raise ValueError(f"a Dask {kind} answers")


def is_loopback(address: str) -> bool:
    """Whether an address is one of this machine that no other reaches."""
    try:
        return ip_address(get_address_host(resolve_address(address))).is_loopback
    except (OSError, ValueError):  # no name of a machine
        return False


async def _identity(address: str) -> dict[str, Any]:
    arguments = Security().get_connection_args("client")
    async with rpc(address, connection_args=arguments) as remote:
        identity: dict[str, Any] = await remote.identity()
        return identity
