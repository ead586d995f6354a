"""The whole chain, through Dagster's own commands."""
