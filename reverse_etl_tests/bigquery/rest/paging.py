"""Pages of lists: the token is the place of the next item."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def cut_page(
    items: Sequence[Item], query: Mapping[str, str], *, default: int
) -> tuple[Sequence[Item], dict[str, str]]:
    """The page that is asked for, and `nextPageToken` if there is one."""
    start = int(query.get("pageToken") or 0)
    end = start + int(query.get("maxResults") or default)
    following = {"nextPageToken": str(end)} if end < len(items) else {}
    return items[start:end], following
