"""Hugging Face's format (`transformers`)."""
