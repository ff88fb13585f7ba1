"""Training a network on labelled regions: sampling, augmentation, the loop, its validation."""
