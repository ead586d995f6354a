"""Alerts: what people are told, kept in an outbox until each channel has taken it, once."""
