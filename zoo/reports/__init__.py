"""Pages and tables about training runs, made from their folders without a backend."""
