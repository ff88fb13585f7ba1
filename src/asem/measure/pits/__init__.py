"""Coated pits, coated vesicles and caveolae, measured on the image."""
