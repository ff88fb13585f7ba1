"""The network: its shape, its checkpoints, its predictions."""
