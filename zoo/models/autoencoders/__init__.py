"""Autoencoders, VAEs and VQ-VAEs."""
