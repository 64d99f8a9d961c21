"""Model cards."""

CARD = "README.md"
