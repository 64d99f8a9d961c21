"""Saves what Keras's own files would leave out."""
