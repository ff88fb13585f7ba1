"""Array functions on images, masks and labels, each with its block-wise driver."""
