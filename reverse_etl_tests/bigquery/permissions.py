"""Permissions that a test took away, and how Google says no."""

import threading
from dataclasses import dataclass

from reverse_etl_tests.bigquery.errors import ApiError


@dataclass(slots=True, kw_only=True)
class _Denial:
    permission: str
    resource: str
    times: int | None


class Permissions:
    """Everything is permitted but what was denied."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._denials: list[_Denial] = []

    def deny(self, permission: str, *, resource: str, times: int | None) -> None:
        """Take a permission away on resources whose name contains `resource`; None: for good."""
        with self._lock:
            self._denials.append(_Denial(permission=permission, resource=resource, times=times))

    def clear(self) -> None:
        """Permit everything again."""
        with self._lock:
            self._denials.clear()

    def permits(self, permission: str, resource: str) -> bool:
        """Whether the caller has a permission on a resource; uses up a denial."""
        with self._lock:
            for denial in self._denials:
                if denial.permission != permission or denial.resource not in resource:
                    continue
                if denial.times is None:
                    return False
                if denial.times > 0:
                    denial.times -= 1
                    return False
        return True

    def check(self, permission: str, resource: str) -> None:
        """Raise what the REST API answers when the permission is denied."""
        if not self.permits(permission, resource):
            raise ApiError(
                "accessDenied", f"Access Denied: {_explain_denial(permission, resource)}"
            )

    def check_query(self, resource: str) -> None:
        """Raise what a query answers when a table's rows are denied."""
        if not self.permits("bigquery.tables.getData", resource):
            raise deny_query(resource)

    def check_storage(self, permission: str, resource: str) -> None:
        """Raise what the Storage API answers when the permission is denied."""
        if not self.permits(permission, resource):
            raise ApiError(
                "accessDenied",
                f"request failed: the user does not have '{permission}' permission for '{resource}'",
            )


def deny_query(table: str) -> ApiError:
    """A table that a query may not read; one that does not exist elsewhere sounds the same."""
    return ApiError(
        "accessDenied",
        f"Access Denied: Table {table}: User does not have permission to query table {table}, "
        "or perhaps it does not exist.",
    )


def _explain_denial(permission: str, resource: str) -> str:
    if permission.startswith("bigquery.jobs."):
        return (
            f"Project {resource}: User does not have {permission} permission in project {resource}."
        )
    kind = "Table" if "." in resource.rpartition(":")[2] else "Dataset"
    return (
        f"{kind} {resource}: Permission {permission} denied on {kind.lower()} {resource} "
        "(or it may not exist)."
    )
