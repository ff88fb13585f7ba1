"""From strokes on a few planes to labels (paper, Graph-cut annotation)."""
