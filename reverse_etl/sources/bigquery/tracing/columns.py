"""What is known of a table's columns beside their values: names, nesting, and who protects them."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnFacts:
    """A column, or a field of one.

    `policy_tags` are the resource names of what protects it, as BigQuery gives them.
    """

    name: str
    fields: tuple["ColumnFacts", ...] = ()
    repeated: bool = False
    policy_tags: tuple[str, ...] = ()

    def walk(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], "ColumnFacts"]]:
        """The column and all below it, each with its path of names."""
        here = (*path, self.name)
        yield here, self
        for field in self.fields:
            yield from field.walk(here)
