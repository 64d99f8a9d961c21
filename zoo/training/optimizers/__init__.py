"""Optimizers, one per phase; averages, loss scaling and schedules."""
