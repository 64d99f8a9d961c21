"""Estimates of the likelihood, from functions that sample and score."""
