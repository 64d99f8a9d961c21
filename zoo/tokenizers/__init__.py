"""Tokenizers: characters, BPE and WordPiece."""
