"""Metrics for models of text."""
