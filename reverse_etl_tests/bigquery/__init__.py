"""A BigQuery to test against: REST and gRPC on loopback, DuckDB behind it, for Google's unmodified clients.

`server.BigQueryServer` is the way in; `process.BigQueryProcess` runs one in a process of its own.
"""
