"""What Keras's own files would leave out."""
