"""Checks of data, and losses, that several families share."""
