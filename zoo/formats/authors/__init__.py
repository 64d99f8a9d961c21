"""Weights as the authors of a paper published them."""
