"""Where presets are kept: names, manifests, the hub."""
