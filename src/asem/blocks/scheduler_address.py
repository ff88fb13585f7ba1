"""Check the address of a Dask scheduler, and that a scheduler answers there.

Dask's client has no timeout for a port that accepts connections and sends nothing, and interprets
the first bytes of other protocols (HTTP, SSH) as the size of a message to allocate.
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

from asem.config import shorten

HOST_PORT_SCHEMES = ("tcp", "tls", "ws", "wss")
"""Protocols whose addresses are a host and a port."""
MAX_PORT = 65_535
THREAD_END_TIMEOUT_S = 5
"""Time in which a thread must end after its timeout."""


def check_scheduler_address(address: str) -> None:
    """Raise ValueError if an address is not valid.

    Examples
    --------
    >>> check_scheduler_address("tls://host:8786"), check_scheduler_address("[::1]:8786")
    (None, None)
    >>> check_scheduler_address("host:99999")
    Traceback (most recent call last):
    ValueError: --scheduler 'host:99999' is not the address of a Dask scheduler: port 99999 is not \
from 1 to 65535; give one like tls://host:8786, or a TOML file of jobs
    """
    try:
        _check_address(address)
    except ValueError as error:
        raise ValueError(
            f"--scheduler {shorten(address)} is not the address of a Dask scheduler: {error}; give "
            "one like tls://host:8786, or a TOML file of jobs"
        ) from error


def _check_address(address: str) -> None:
    scheme, location = parse_address(address)
    get_backend(scheme)
    if scheme not in HOST_PORT_SCHEMES:
        return
    host, port = parse_host_port(location)
    if not host or any(letter.isspace() or letter in "/@\0" for letter in host):
        raise ValueError("it has no host")
    if not 1 <= port <= MAX_PORT:
        raise ValueError(f"port {port} is not from 1 to {MAX_PORT}")


def check_scheduler_answers(address: str, timeout_s: float) -> None:
    """Return if a Dask scheduler answers within `timeout_s` seconds.

    Raises
    ------
    OSError, ValueError, MemoryError, TypeError
        No scheduler answers (TimeoutError: no answer in time), or an error of Dask's client.
    """
    identity: Future[dict[str, Any]] = Future()

    def request_identity() -> None:
        try:
            identity.set_result(
                asyncio.run(asyncio.wait_for(_request_identity(address), timeout_s))
            )
        except Exception as error:  # noqa: BLE001 - raised below, in the calling thread
            identity.set_exception(error)

    # In a thread: the caller may run an event loop, and host name resolution blocks asyncio.
    threading.Thread(target=request_identity, daemon=True).start()
    kind = identity.result(timeout_s + THREAD_END_TIMEOUT_S).get("type")
    if kind != "Scheduler":
        raise ValueError(f"a Dask {kind} answers")


def is_loopback(address: str) -> bool:
    """Return whether an address is a loopback address, not reachable from other machines."""
    try:
        return ip_address(get_address_host(resolve_address(address))).is_loopback
    except (OSError, ValueError):  # not a host name
        return False


async def _request_identity(address: str) -> dict[str, Any]:
    arguments = Security().get_connection_args("client")
    async with rpc(address, connection_args=arguments) as remote:
        identity: dict[str, Any] = await remote.identity()
        return identity
