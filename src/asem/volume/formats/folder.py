"""Metadata documents of a folder of chunks, read once, by which its format is recognized."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from asem.provenance import identify_files
from asem.volume.address import Address
from asem.volume.formats.stores import digest_documents, read_document

ZARR_DOCUMENT_NAMES = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
"""Metadata of Zarr 3, and of attributes, group and array of Zarr 2."""
OTHER_DOCUMENT_NAMES = ("attributes.json", "info")
"""Metadata of N5 and neuroglancer precomputed; files of other content may have these names."""
DOCUMENT_NAMES = (*ZARR_DOCUMENT_NAMES, *OTHER_DOCUMENT_NAMES)


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

    def identity(self, arrays: Mapping[str, Any] | None = None) -> str:
        """Return an identity of the content: of local files by size and mtime, else by digest.

        Parameters
        ----------
        arrays
            Metadata of arrays below, which are part of the image, by the path of the document.
        """
        below = arrays or {}
        if self.address.is_remote:
            return digest_documents(self.address, [self.documents, *below.values()])
        folder = self.address.path
        return identify_files(folder, [folder / name for name in (*sorted(self.documents), *below)])


def read_folder(address: Address, names: Sequence[str] = DOCUMENT_NAMES) -> FolderMetadata:
    """Read the metadata documents of a folder.

    Parameters
    ----------
    address
        The folder.
    names
        Of the documents.

    Raises
    ------
    OSError
        Access to all documents is denied, or the server does not answer.
    ValueError
        A document is damaged; the message names it. One of `OTHER_DOCUMENT_NAMES` is ignored
        where another document can be read.
    """
    folder = Address(address.location)
    with ThreadPoolExecutor(len(names)) as pool:
        read = list(pool.map(lambda name: _read(folder.join(name)), names))
    contents = dict(zip(names, read, strict=True))
    documents = {name: content for name, content in contents.items() if isinstance(content, dict)}
    for name, content in contents.items():
        if isinstance(content, ValueError) and not (documents and name in OTHER_DOCUMENT_NAMES):
            raise content
    denied = [content for content in contents.values() if isinstance(content, PermissionError)]
    if denied and not documents:
        raise denied[0]
    return FolderMetadata(folder, documents)


def _read(address: Address) -> dict[str, Any] | PermissionError | ValueError | None:
    """Read a document; S3 denies access to a missing one where the bucket must not be listed."""
    try:
        return read_document(address)
    except (PermissionError, ValueError) as error:
        return error
