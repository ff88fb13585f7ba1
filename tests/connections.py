"""Connections of `asem.volume.formats.stores`, which are kept for the next request."""

from asem.volume.formats import stores


def forget_connections():
    """Close connections, so that the next request uses the current limits."""
    stores._context.cache_clear()
    stores._open_kvstore.cache_clear()
