"""Convolutional layers and other layers for images."""
