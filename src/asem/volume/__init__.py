"""Arrays with voxel size and position: boxes, blocks, reading, writing, file formats."""
