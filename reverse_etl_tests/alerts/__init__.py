"""Tests of `reverse_etl.alerts`."""
