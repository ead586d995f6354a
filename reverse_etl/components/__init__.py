"""Dagster components: one YAML document each, many definitions."""

from reverse_etl.components.factory import build_definitions
from reverse_etl.components.sync import Sync

__all__ = ["Sync", "build_definitions"]
