"""Work block by block: outputs under way, their journals, pyramids."""
