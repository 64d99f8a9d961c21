"""Training runs of recipes: settings, checkpoints, exact resume."""
