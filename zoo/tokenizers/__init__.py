"""Tokenizers: characters, byte-level BPE, WordPiece and whole words."""
