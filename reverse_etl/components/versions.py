"""Code versions of a sync's assets: they change when what is written down would give another result."""

import hashlib
import json
from typing import Any

from reverse_etl.landing.manifest import FORMAT_VERSION
from reverse_etl.model import Step
from reverse_etl.spec import SyncSpec

_DIGITS = 16


def compute_code_version(spec: SyncSpec, step: Step) -> str:
    """Sixteen hexadecimal digits over the parts of a sync that `step` depends on."""
    text = json.dumps(_gather(spec, step), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _gather(spec: SyncSpec, step: Step) -> dict[str, Any]:
    config = spec.config
    if step is Step.EXTRACT:
        leaving = [rule for rule in config.columns if rule.leaves]
        return {
            "query": spec.query,
            "columns": [{"name": rule.name, "type": rule.type} for rule in leaving],
        }
    if step is Step.MASKED:
        return {
            "format_version": FORMAT_VERSION,
            "key": config.key,
            "columns": [rule.model_dump(mode="json") for rule in config.columns],
            "format": config.landing.format,
            "bucket_rows": spec.bucket_rows,
            "compression": spec.compression,
        }
    return {"format_version": FORMAT_VERSION, "cache": config.cache.model_dump(mode="json")}
