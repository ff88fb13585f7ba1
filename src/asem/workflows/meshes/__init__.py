"""Parts of `asem mesh`: surfaces of blocks, fragments on disk, and the files that they become."""
