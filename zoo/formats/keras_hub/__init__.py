"""Keras Hub's preset format."""
