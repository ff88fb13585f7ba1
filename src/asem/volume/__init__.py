"""Arrays with a place in space: extents, lattices, reading, writing, formats."""
