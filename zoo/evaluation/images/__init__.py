"""Metrics for models of images."""
