"""Sensors under Dagster: what they do, tell and remember."""
