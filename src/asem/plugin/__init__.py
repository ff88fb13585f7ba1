"""napari plugin: graph-cut annotation, reader, sample data. Thin: the logic is in `workflows`."""
