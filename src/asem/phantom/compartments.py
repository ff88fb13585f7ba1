"""Compartments of a synthetic cell: what a membrane bounds; the rest is cytosol or nucleus."""

(
    OUTSIDE,
    COATED_PIT,
    CAVEOLA,
    SECRETORY_PIT,
    ER,
    GOLGI,
    MITOCHONDRION,
    VESICLE,
    COATED_VESICLE,
    LYSOSOME,
    ENDOSOME,
) = range(11)
SPHERES = {
    "vesicles": VESICLE,
    "coated_vesicles": COATED_VESICLE,
    "lysosomes": LYSOSOME,
    "endosomes": ENDOSOME,
}
"""Fields of `asem.phantom.cell_geometry.CellGeometry` that hold spheres, and their compartments."""
