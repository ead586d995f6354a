"""Tests of reverse_etl.auth."""
