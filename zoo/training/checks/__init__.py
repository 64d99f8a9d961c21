"""Checks of data and of what a model can train with."""
