"""Latent variables: distributions, codebooks and observation models."""
