"""Measurements: scores of a prediction against labels, and columns of objects."""
