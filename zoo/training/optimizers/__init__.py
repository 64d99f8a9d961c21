"""Optimizers, one per phase; weight averages, loss scaling and schedules."""
