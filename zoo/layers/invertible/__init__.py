"""Invertible layers with known log-determinants, the parts of normalizing flows."""
