"""Token ids of texts: files, windows, sequences, n-grams, and batches of them."""
