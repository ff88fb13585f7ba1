"""Synthetic cells: geometry, rasterization, simulated FIB-SEM image."""
