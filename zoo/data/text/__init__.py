"""Batches of token ids from texts."""
