"""Steps about BigQuery: that a run could pin and read there, and what guards the bill."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Self

from reverse_etl.cli.doctor.checkup import Checkup, SkippedError
from reverse_etl.cli.quantities import format_bytes
from reverse_etl.errors import ConfigError
from reverse_etl.landing.layout import build_id
from reverse_etl.room_options import build_bigquery_options
from reverse_etl.runtime import Runtime
from reverse_etl.settings import Profile
from reverse_etl.sources.spending import format_usd
from reverse_etl.spec import SyncSpec

if TYPE_CHECKING:
    from google.cloud import bigquery

    from reverse_etl.sources.bigquery.examining import Examination

_CREDENTIALS = "bigquery credentials"
_DATASET = "bigquery staging dataset"
#: What everything else rests on: jobs can be run, so credentials, project and address are right.
JOBS = "bigquery jobs"
_ENDPOINT = "bigquery storage endpoint"
_DAY_MILLIS = 86_400_000


def uses_bigquery(spec: SyncSpec, runtime: Runtime) -> bool:
    """Whether a sync reads BigQuery, by its own word or by the profile's."""
    kind = spec.config.source.kind
    return kind == "bigquery" or (kind is None and runtime.settings.profile is Profile.CLOUD)


def examine_bigquery(checkup: Checkup, specs: Mapping[str, SyncSpec], runtime: Runtime) -> None:
    """Every step, where the profile or a sync asks for BigQuery; none elsewhere."""
    readers = {name: spec for name, spec in specs.items() if uses_bigquery(spec, runtime)}
    if not readers and runtime.settings.profile is not Profile.CLOUD:
        return
    with _Findings(runtime) as found:
        steps: list[tuple[str, Callable[[], str], Collection[str]]] = [
            (_CREDENTIALS, found.examine_credentials, ()),
            (_DATASET, found.examine_dataset, [_CREDENTIALS]),
            (JOBS, found.examine_jobs, [_DATASET]),
            ("bigquery staging readers", found.examine_readers, [JOBS]),
            ("bigquery staging expiration", found.examine_expiration, [_DATASET]),
            (_ENDPOINT, found.examine_endpoint, [_CREDENTIALS]),
            ("bigquery read sessions", found.examine_sessions, [_DATASET, _ENDPOINT]),
            ("bigquery byte cap", partial(describe_byte_cap, runtime), ()),
            ("bigquery job timeout", partial(describe_job_timeout, runtime), ()),
            ("bigquery watch", partial(examine_watch, runtime), [JOBS]),
        ]
        for step, examine, needs in steps:
            checkup.run(step, examine, needs=needs)
    for name, spec in readers.items():
        needs = [JOBS] if spec.config.source.monthly_budget_usd is not None else []
        checkup.run(f"budget: {name}", partial(examine_budget, spec, runtime), needs=needs)


class _Findings:
    """What one step found and a later one needs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._opened: Examination | None = None
        self._dataset: bigquery.Dataset | None = None
        self._account: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        if self._opened is not None:
            self._opened.__exit__(*args)

    def examine_credentials(self) -> str:
        """Whether there are any, and which project they pay from."""
        # Two seconds of imports that a doctor without BigQuery does without.
        from reverse_etl.sources.bigquery.examining import Examination  # noqa: PLC0415

        settings = self._runtime.settings
        self._opened = Examination(build_bigquery_options(settings), now=self._runtime.now)
        project = self._opened.find_project()
        if settings.bigquery_anonymous:
            return f"project '{project}', without credentials (REVERSE_ETL_BIGQUERY_ANONYMOUS=1)"
        return f"project '{project}', with the credentials of this machine"

    def examine_dataset(self) -> str:
        """Whether it is there, and where."""
        self._dataset = self._examination.find_staging()
        return f"'{self._dataset.full_dataset_id}' lies in {self._dataset.location}"

    def examine_jobs(self) -> str:
        """Whether a query could run; none does."""
        self._account = self._examination.run_nothing()
        who = self._account or "an account that BigQuery does not name"
        return f"a dry run passed, as {who}"

    def examine_readers(self) -> str:
        """Whether the pipeline is alone with its raw rows."""
        assert self._dataset is not None  # noqa: S101 - the step is needed by this one
        self._examination.check_readers(self._dataset, account=self._account)
        named = ", ".join(self._runtime.settings.bigquery_staging_readers)
        more = f", and {named} (REVERSE_ETL_BIGQUERY_STAGING_READERS)" if named else ""
        return f"nobody but the pipeline and the project's owners{more}"

    def examine_expiration(self) -> str:
        """The dataset's own, which is a second belt."""
        assert self._dataset is not None  # noqa: S101 - the step is needed by this one
        millis = self._dataset.default_table_expiration_ms
        if millis is None:
            raise SkippedError(
                "the dataset has no default table expiration. Every staging table is given its own; for "
                "a second belt: bq update --default_table_expiration 172800 PROJECT:DATASET"
            )
        return f"tables expire after {millis / _DAY_MILLIS:g} days unless they say otherwise"

    def examine_endpoint(self) -> str:
        """Whether rows could be fetched from where they are served."""
        return f"connected to {self._examination.reach_storage()}"

    def examine_sessions(self) -> str:
        """Whether the permissions to stage and to read are there; no row is read."""
        probe = f"reverse_etl_doctor_{build_id(self._runtime.now())}"
        self._examination.open_session(probe=probe)
        return "an empty table was made, a session opened on it, and the table removed; no row was read"

    @property
    def _examination(self) -> "Examination":
        assert self._opened is not None  # noqa: S101 - every step needs the first one
        return self._opened


def describe_byte_cap(runtime: Runtime) -> str:
    """What a query may bill."""
    settings = runtime.settings
    size = settings.bigquery_max_bytes_billed
    cost = size / (1 << 40) * settings.bigquery_price_per_tib
    return (
        f"a query that would bill more than {format_bytes(size)} (about {format_usd(cost)} USD) is refused "
        "before it runs"
    )


def describe_job_timeout(runtime: Runtime) -> str:
    """How long a query may run."""
    seconds = runtime.settings.bigquery_job_timeout_seconds
    return f"BigQuery ends a query after {seconds:g} s"


def examine_watch(runtime: Runtime) -> str:
    """What the watch would do now; it is only looked, nothing is cancelled."""
    from reverse_etl.sources.bigquery.watch import JobWatch, read_limits  # noqa: PLC0415

    options = build_bigquery_options(runtime.settings)
    if not read_limits(options).is_on:
        raise SkippedError(
            "off. REVERSE_ETL_BIGQUERY_WATCH_MINUTES and REVERSE_ETL_BIGQUERY_WATCH_SLOT_HOURS switch it on"
        )
    with JobWatch(options, now=runtime.now) as watch:
        look = watch.look()
    whose = "all accounts'" if look.everybody else "this account's (others' cannot be seen)"
    return (
        f"{watch.limits.summary()}; {whose} queries of ours: {len(look.under_way)} under way, "
        f"{len(look.overdue)} beyond the limits. Dagster's sensor bigquery_watch has to be running"
    )


def examine_budget(spec: SyncSpec, runtime: Runtime) -> str:
    """What the sync has spent of its budget; it fails when nothing is left."""
    budget = spec.config.source.monthly_budget_usd
    if budget is None:
        raise SkippedError("none: source.monthly_budget_usd sets one")
    spending = runtime.source_for("bigquery").find_spending(spec.name)
    if spending is None:
        raise SkippedError("the source charges nothing")
    if spending.cost_usd >= budget:
        raise ConfigError(
            f"The budget of {format_usd(budget)} USD a month (source.monthly_budget_usd) is used up: "
            f"{spending.summary()}. extract refuses to pay more. Raise it, or wait for the next month."
        )
    return f"{format_usd(budget)} USD a month; spent: {spending.summary()}"
