"""Weights and configurations in the formats of other libraries."""
