"""Connections of `asem.volume.formats.stores`, which are kept for the next request."""

from asem.volume.formats import stores


def forget_connections():
    """Let the next request connect anew, with the limits that are set then."""
    stores._context.cache_clear()
    stores._open_kvstore.cache_clear()
