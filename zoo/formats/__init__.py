"""Weights and configurations in other libraries' formats."""
