"""Nuclear pores: masks, envelope, the rim of each pore in the image, statistics."""
