"""Loggers of other projects: TensorBoard, Weights & Biases, Trackio."""
