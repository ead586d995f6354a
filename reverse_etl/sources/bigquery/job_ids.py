"""Names of query jobs and of their tables: the same for a run and its retries, and for nothing else."""

import hashlib
import json
import re
from urllib.parse import quote

from reverse_etl.sources.base import PinRequest

#: How often one run may begin its query anew: a job's id is used once, even by a job that failed.
MOST_ATTEMPTS = 20

# Part of the fingerprint: raised when the same request would be put to BigQuery otherwise.
_FORMAT = 1
_DIGITS = 32
_UNFIT = re.compile(r"[^A-Za-z0-9_]")


def compute_job_fingerprint(request: PinRequest, *, dataset: str) -> str:
    """32 hexadecimal digits over sync, partition, question, run, and where the rows go."""
    document = [
        _FORMAT,
        request.sync,
        request.partition.key,
        request.query_fingerprint,
        request.run_id,
        dataset,
    ]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()[:_DIGITS]


def build_job_id(request: PinRequest, *, fingerprint: str, attempt: int) -> str:
    """`reverse_etl-<sync>-<partition>-<fingerprint>-<attempt>`; the first attempt is 1."""
    names = (_UNFIT.sub("_", name) for name in (request.sync, request.partition.key))
    return "-".join(("reverse_etl", *names, fingerprint, str(attempt)))


def build_table_name(job_id: str) -> str:
    """The staging table that a job writes."""
    return job_id.replace("-", "_")


def build_job_url(*, project: str, location: str, job_id: str) -> str:
    """The job's page in Google's console; it names no value of the query."""
    job = quote(f"bq:{location}:{job_id}", safe=":")
    return f"https://console.cloud.google.com/bigquery?project={quote(project)}&j={job}&page=queryresults"
