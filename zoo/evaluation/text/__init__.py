"""Figures for models of text."""
