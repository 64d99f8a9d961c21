"""The engine for TensorFlow."""
