"""Measurements: scores of a prediction against labels."""
