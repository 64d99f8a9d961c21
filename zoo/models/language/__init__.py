"""Language models that predict the next token, and translation."""
