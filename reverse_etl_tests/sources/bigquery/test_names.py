"""Names of jobs and tables, and labels: the same for a run's retries, and fit for BigQuery."""

import dataclasses
import datetime as dt
import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reverse_etl.sources.base import PinRequest
from reverse_etl.sources.bigquery.job_ids import (
    build_job_id,
    build_job_url,
    build_table_name,
    compute_job_fingerprint,
)
from reverse_etl.sources.bigquery.labels import (
    build_labels,
    is_ours,
    normalise_label,
    read_pinned_at,
)
from reverse_etl_tests.contracts.source import NOW, PARTITION

REQUEST = PinRequest(
    snapshot_id="0123456789abcdef",
    sync="people",
    partition=PARTITION,
    query="SELECT 'canary' AS id",
    schema=pa.schema([("id", pa.string())]),
    policy_fingerprint="f",
    run_id="run-1",
    pinned_at=NOW,
    expires_at=NOW + dt.timedelta(hours=1),
)


def fingerprint(request: PinRequest, *, dataset: str = "p.staging") -> str:
    return compute_job_fingerprint(request, dataset=dataset)


def test_retry_has_the_same_fingerprint() -> None:
    """A later try of the run differs in times and in its snapshot's id; its question does not."""
    retry = dataclasses.replace(
        REQUEST,
        snapshot_id="fedcba9876543210",
        pinned_at=NOW + dt.timedelta(minutes=3),
        expires_at=NOW + dt.timedelta(hours=2),
        policy_fingerprint="g",
    )

    assert fingerprint(retry) == fingerprint(REQUEST)


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "run-2"},
        {"sync": "others"},
        {"query": "SELECT 'other' AS id"},
        {"schema": pa.schema([("name", pa.string())])},
        {"as_of": NOW},
        {"partition": dataclasses.replace(PARTITION, key="2026-11-17")},
    ],
    ids=str,
)
def test_other_question_has_another_fingerprint(change: dict[str, object]) -> None:
    """Another run, sync, day, query, set of columns or moment is paid for by itself."""
    assert fingerprint(dataclasses.replace(REQUEST, **change)) != fingerprint(REQUEST)


def test_other_dataset_has_another_fingerprint() -> None:
    """Rows that were staged elsewhere are not where they are looked for."""
    assert fingerprint(REQUEST, dataset="p.other") != fingerprint(REQUEST)


def test_job_is_recognised_by_people() -> None:
    """Whose it is stands in its id; a query's constants do not."""
    job_id = build_job_id(REQUEST, fingerprint=fingerprint(REQUEST), attempt=3)

    assert re.fullmatch(r"reverse_etl-people-2026_11_18-[0-9a-f]{32}-3", job_id)
    assert "canary" not in job_id


@given(st.text(min_size=1, max_size=63), st.integers(1, 20))
def test_ids_and_tables_are_names_that_bigquery_takes(sync: str, attempt: int) -> None:
    """Letters, digits, underscores and dashes in ids; no dashes in tables."""
    job_id = build_job_id(
        dataclasses.replace(REQUEST, sync=sync), fingerprint="0" * 32, attempt=attempt
    )

    assert re.fullmatch(r"[A-Za-z0-9_-]{1,200}", job_id)
    assert re.fullmatch(r"[A-Za-z0-9_]{1,200}", build_table_name(job_id))


def test_link_leads_to_the_job() -> None:
    """Google's console finds a job by project, location and id."""
    url = build_job_url(project="example.com:p", location="EU", job_id="a-1")

    assert url == (
        "https://console.cloud.google.com/bigquery?project=example.com%3Ap&j=bq:EU:a-1&page=queryresults"
    )


@given(st.text(max_size=200))
def test_label_is_one_that_bigquery_takes(text: str) -> None:
    """Lower-case letters, digits, `_` and `-`, up to 63 of them; what fits is left as it is."""
    label = normalise_label(text)

    assert re.fullmatch(r"[a-z0-9_-]{0,63}", label)
    assert label == text or not re.fullmatch(r"[a-z0-9_-]{0,63}", text)


@given(st.lists(st.text(max_size=100), min_size=2, max_size=2, unique=True))
def test_labels_of_different_names_differ(names: list[str]) -> None:
    """What had to be changed to fit is told apart by its hash."""
    first, second = names

    assert normalise_label(first) != normalise_label(second)


@given(st.integers(0, 10**16))
def test_moment_survives_in_its_label(microseconds: int) -> None:
    """To the microsecond: it decides which snapshot is later."""
    moment = dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(microseconds=microseconds)
    labels = build_labels(dataclasses.replace(REQUEST, pinned_at=moment), fingerprint="0" * 32)

    assert read_pinned_at(labels) == moment


@pytest.mark.parametrize(
    "labels", [{}, {"pinned_at": ""}, {"pinned_at": "soon"}, {"pinned_at": "9" * 19}]
)
def test_label_without_a_moment_says_nothing(labels: dict[str, str]) -> None:
    """Unknown is not 1970."""
    assert read_pinned_at(labels) is None


def test_ours_are_told_from_others() -> None:
    """By one label, on jobs and on tables."""
    assert is_ours(build_labels(REQUEST, fingerprint="0" * 32))
    assert not is_ours({})
    assert not is_ours({"managed_by": "terraform"})
