"""Operations on voxels: array functions, each with its block-wise driver beside it."""
