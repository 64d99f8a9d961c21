"""Latent variables: distributions, codebooks, observation models."""
