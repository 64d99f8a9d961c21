"""What several commands use: arguments, the choice of a backend, how they print."""
