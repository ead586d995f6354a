"""A small shop as the warehouse describes it: what tests of references, origins and tags read from."""

from collections.abc import Callable, Iterable

from reverse_etl.sources.bigquery.origins import Origin, trace_origins
from reverse_etl.sources.bigquery.policy_tags import TableFacts
from reverse_etl.sources.bigquery.references import TableReference
from reverse_etl.sources.bigquery.tracing.columns import ColumnFacts

PROJECT = "acme"
TAG = "projects/acme/locations/eu/taxonomies/1/policyTags/77"

#: `name`, `name[]` for an array, `name.field` below the one before it.
_COLUMNS = {
    "users": "id email city home home.zip home.street phones[] jobs[] jobs.title jobs.pay document",
    "events": "id user_id kind amount email",
    "people": "id contact",
}


def name(table: str) -> TableReference:
    """A table of the shop."""
    return TableReference(PROJECT, "shop", table)


def build_columns(table: str, *, tagged: Iterable[str] = ()) -> tuple[ColumnFacts, ...]:
    """The columns of a table, those of the paths in `tagged` with a policy tag."""
    wanted, words = set(tagged), _COLUMNS[table].split()

    def build(path: str, *, repeated: bool) -> ColumnFacts:
        below = [word for word in words if word.startswith(f"{path}.")]
        return ColumnFacts(
            name=path.rsplit(".", 1)[-1],
            fields=tuple(build(word, repeated=False) for word in below),
            repeated=repeated,
            policy_tags=(TAG,) if path in wanted else (),
        )

    return tuple(
        build(word.removesuffix("[]"), repeated=word.endswith("[]"))
        for word in words
        if "." not in word
    )


def build_facts(
    table: str, *, tagged: Iterable[str] = (), kind: str = "TABLE", view_query: str | None = None
) -> TableFacts:
    """The facts of a table."""
    return TableFacts(
        reference=name(table),
        kind=kind,
        columns=build_columns(table, tagged=tagged),
        view_query=view_query,
    )


def find_in(*facts: TableFacts) -> Callable[[TableReference], TableFacts | None]:
    """A warehouse that knows these tables, and no others."""
    known = {item.reference: item for item in facts}
    return known.get


def trace(
    query: str, columns: str, *, views: dict[str, str | None] | None = None
) -> dict[str, Origin]:
    """The origins of a query's columns over the shop; `columns` in one line."""
    return trace_origins(
        query,
        columns=columns.split(),
        schemas={name(table): build_columns(table) for table in _COLUMNS},
        views={name(table): text for table, text in (views or {}).items()},
        project=PROJECT,
    )


def show(origin: Origin) -> str:
    """An origin in one line: `users.email users.home.zip`, and what is not resolved behind a `?`."""
    paths = sorted(f"{table.table}.{'.'.join(path)}" for table, path in origin.columns)
    return " ".join(paths if origin.unresolved is None else [*paths, f"? {origin.unresolved}"])
