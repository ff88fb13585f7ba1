"""The napari plugin: annotate by graph cut, read cells, sample data. Thin: see `workflows`."""
