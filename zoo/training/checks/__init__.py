"""Checks of data, phases and options before a model is trained."""
