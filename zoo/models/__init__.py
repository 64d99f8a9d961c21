"""The models, one family per module or folder."""
