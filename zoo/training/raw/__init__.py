"""Raw text in `fit`, `evaluate` and `predict`: what it may be, and how it is read."""
