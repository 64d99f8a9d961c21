"""Sequences for pretraining: masked tokens and pairs of sentences."""
