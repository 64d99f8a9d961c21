"""The subcommands of `zoo`, a file each.

A file has a configuration, from which the flags are made, and `run`, which takes it.
What a command needs is imported when it runs: `zoo --help` imports no backend.
"""
