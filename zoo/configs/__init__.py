"""Configurations: fields that check themselves."""
