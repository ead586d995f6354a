"""Who may read the staging dataset, by its access list; names of people and groups, no rows.

https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets#Dataset.FIELDS.access
"""

from collections.abc import Iterable, Mapping
from typing import Any

_ACCOUNTS = ("user", "serviceAccount")
_SERVICE_ACCOUNT = "gserviceaccount.com"
# Owners of a project can grant themselves whatever they lack: there is nothing to hide from them.
_OWNERS = "specialGroup:projectOwners"


def find_strangers(
    entries: Iterable[Mapping[str, Any]], *, account: str | None, readers: Iterable[str]
) -> list[str]:
    """The entries that let in somebody but project owners, the pipeline itself and `readers`, sorted.

    What a role allows does not matter: one that cannot read today may do so tomorrow.
    """
    known = {_OWNERS.casefold(), *(_normalise(reader) for reader in readers)}
    if account is not None:
        known.add(_normalise(f"user:{account}"))
    names = {name_entry(entry) for entry in entries}
    return sorted(name for name in names if _normalise(name) not in known)


def name_entry(entry: Mapping[str, Any]) -> str:
    """An entry as the settings write it: `user:`, `serviceAccount:`, `group:`, `domain:` and so on.

    An authorized view, routine or dataset is an entry too: whoever may use it reads the tables.
    """
    for kind, value in entry.items():
        if kind not in ("role", "condition"):
            return _name_member(kind, value)
    return "an entry without a name"


def _name_member(kind: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{kind}:{_join(value.get('dataset', value))}"
    if kind == "userByEmail":
        return _name_account(value)
    if kind == "groupByEmail":
        return f"group:{value}"
    if kind == "iamMember":
        return _OWNERS if value.startswith("projectOwner:") else str(value)
    return f"{kind}:{value}"


def _name_account(address: str) -> str:
    is_service = address.lower().endswith(_SERVICE_ACCOUNT)
    return f"{_ACCOUNTS[is_service]}:{address}"


def _normalise(name: str) -> str:
    """Equal for equal entries: case does not count, nor which kind of account somebody took it for."""
    kind, _, value = name.strip().partition(":")
    accounts = [account.casefold() for account in _ACCOUNTS]
    return (_name_account(value) if kind.casefold() in accounts else f"{kind}:{value}").casefold()


def _join(reference: Mapping[str, Any]) -> str:
    """`project.dataset.table` of a reference."""
    names = (reference.get(name) for name in ("projectId", "datasetId"))
    last = (reference.get(name) for name in ("tableId", "routineId"))
    return ".".join(str(name) for name in (*names, *last) if name)
