"""Layers of the networks that estimate noise: for times, feature maps and patches."""
