"""Parallel texts in two languages, and batches of them."""
