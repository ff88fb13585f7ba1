"""Graph-cut annotation: labels from strokes on a few planes (paper, Graph-cut annotation)."""
