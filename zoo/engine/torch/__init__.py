"""The engine for PyTorch."""
