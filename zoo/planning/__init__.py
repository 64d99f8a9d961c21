"""Estimates what a training run needs before it is started: `zoo plan`."""
