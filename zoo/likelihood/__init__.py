"""Estimates of likelihood from functions that sample and score."""
