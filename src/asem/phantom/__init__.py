"""Synthetic cells: geometry -> voxels -> the look of an electron microscope."""
