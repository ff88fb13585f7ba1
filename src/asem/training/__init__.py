"""Train a network on labelled regions: sampling, augmentation, training loop, validation."""
