"""File formats of volumes: one module each, which opens an address as a `SourceImage`."""
