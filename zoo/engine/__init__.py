"""One engine per backend: how the training step differentiates, loops and compiles."""
