"""Keras Hub's presets."""
