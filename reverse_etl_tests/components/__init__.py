"""The Dagster side: one YAML document to assets, and what they do when they run."""
