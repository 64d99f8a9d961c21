"""Weights as a paper's authors published them."""
