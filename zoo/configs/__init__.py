"""Configurations, whose fields check themselves."""
