"""The network: its shape, its training, its predictions."""
