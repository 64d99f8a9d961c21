"""What a training run would need, worked out before it is started: `zoo plan`."""
