"""Files: written whole or not at all, read within limits, whatever they hold."""
