"""The subcommands of `zoo`, one per file.

Each file holds a configuration, from which the flags are made, and `run`, which takes
it. A command imports what it needs when it runs, so `zoo --help` imports no backend.
"""
