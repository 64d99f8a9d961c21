"""Figures for models of images."""
