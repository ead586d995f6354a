"""The tests of reverse_etl; folders mirror the package."""
