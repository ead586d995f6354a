"""Tests of the BigQuery source."""
