"""Carries a table of users, masked and proved, from the warehouse to S3 and Redis."""

__version__ = "0.1.0"
