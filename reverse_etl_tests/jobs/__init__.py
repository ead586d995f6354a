"""The jobs beside each sync's own, through Dagster itself."""
