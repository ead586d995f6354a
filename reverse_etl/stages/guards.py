"""Bounds on a version's rows: an empty or shrunken table never replaces a good one by itself."""

from reverse_etl.errors import DataError
from reverse_etl.spec import GuardsConfig


def check_rows(
    rows: int, *, rows_before: int | None, guards: GuardsConfig, quarantined: int = 0
) -> None:
    """`DataError` when there are too few rows, or too many are gone since `rows_before`.

    Rows that were set aside, `quarantined`, are not among `rows`.
    """
    aside = f" beside {quarantined} in quarantine" if quarantined else ""
    if rows < guards.min_rows:
        raise DataError(
            f"The snapshot has {rows} rows{aside}; guards.min_rows asks for {guards.min_rows}. Nothing was "
            "landed and the live version stays. Look at the query's source tables for this day."
        )
    if rows_before is None or rows >= rows_before * (1 - guards.max_shrink):
        return
    gone = 1 - rows / rows_before
    raise DataError(
        f"The snapshot has {rows} rows{aside}, {gone:.1%} fewer than the {rows_before} of the nearest "
        f"earlier day; guards.max_shrink allows {guards.max_shrink:.0%}. Nothing was landed and the live "
        "version stays. If so many users are really gone, raise guards.max_shrink for this run."
    )
