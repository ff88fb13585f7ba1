"""Metadata documents of a folder of chunks, read once, by which its format is recognized."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from asem.provenance import identify_files
from asem.volume.address import Address
from asem.volume.formats.stores import digest_documents, read_document

DOCUMENT_NAMES = (
    "zarr.json", ".zattrs", ".zgroup", ".zarray", "attributes.json", "info",
)  # fmt: skip
"""Metadata of Zarr 3, Zarr 2 (attributes, group, array), N5 and neuroglancer precomputed."""


@dataclass(frozen=True)
class FolderMetadata:
    """The metadata documents of a folder, a bucket's folder or a folder of a web server.

    Parameters
    ----------
    address
        The folder.
    documents
        Content of each document of `DOCUMENT_NAMES` that exists, by name.
    """

    address: Address
    documents: dict[str, dict[str, Any]]

    def get(self, name: str) -> dict[str, Any]:
        """Return a document; empty where it does not exist."""
        return self.documents.get(name, {})

    def identity(self) -> str:
        """Return an identity of the content: of local files by size and mtime, else by digest."""
        if self.address.is_remote:
            return digest_documents(self.address, [self.documents])
        folder = self.address.path
        return identify_files(folder, [folder / name for name in sorted(self.documents)])


def read_folder(address: Address) -> FolderMetadata:
    """Read the metadata documents of a folder.

    Raises
    ------
    OSError
        Access to all documents is denied, or the server does not answer.
    ValueError
        A document is damaged; the message names it.
    """
    folder = Address(address.location)
    with ThreadPoolExecutor(len(DOCUMENT_NAMES)) as pool:
        contents = list(pool.map(lambda name: _read(folder.join(name)), DOCUMENT_NAMES))
    pairs = zip(DOCUMENT_NAMES, contents, strict=True)
    documents = {name: content for name, content in pairs if isinstance(content, dict)}
    denied = [content for content in contents if isinstance(content, PermissionError)]
    if denied and not documents:
        raise denied[0]
    return FolderMetadata(folder, documents)


def _read(address: Address) -> dict[str, Any] | PermissionError | None:
    """Read a document; S3 denies access to a missing one where the bucket must not be listed."""
    try:
        return read_document(address)
    except PermissionError as error:
        return error
