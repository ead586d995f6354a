"""The query that masks a batch and says, in the same pass, which of its values could not be masked.

A row's reasons are a JSON object, `{"birthday":"future_date"}`, and NULL where there are none.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from reverse_etl.masking.faults import Action, Fault, Reason
from reverse_etl.sql import quote_identifier, quote_literal

#: The column of the reasons, behind the masked ones; no column of a sync can have such a name.
REASONS = ".reasons"
#: What was found before the query ran: members of that object, NULL where there are none.
FOUND_BEFORE = ".found_before"


def write_member(place: str, reason: Reason) -> str:
    """A member of a row's reasons: which column, or which place in one, and why."""
    return f"{json.dumps(place, ensure_ascii=False)}:{json.dumps(reason)}"


@dataclass(slots=True)
class FaultQuery:
    """Collects the masked columns of one policy; what has no faults is masked as if this were not here."""

    _select: list[str] = field(default_factory=list)
    _values: list[str] = field(default_factory=list)
    _conditions: list[str] = field(default_factory=list)
    _members: list[str] = field(default_factory=list)

    def name_value(self) -> str:
        """The quoted name that the next column's masked value has where its faults are looked for."""
        return quote_identifier(f".value{len(self._select)}")

    def add(
        self, name: str, expression: str, *, faults: Sequence[Fault] = (), action: Action = "fail"
    ) -> None:
        """The next column, by its landed name, with the faults that count."""
        quoted = quote_identifier(name)
        if not faults:
            self._select.append(f"{expression} AS {quoted}")
            return
        value = self.name_value()
        self._values.append(f"{expression} AS {value}")
        taken_out = [each.condition for each in faults if action != "fail" or each.breaks]
        if taken_out:
            value = f"CASE WHEN {_join_any(taken_out)} THEN NULL ELSE {value} END"
        self._select.append(f"{value} AS {quoted}")
        self._conditions += [each.condition for each in faults]
        branches = [
            f"WHEN {each.condition} THEN {quote_literal(write_member(name, each.reason))}"
            for each in faults
        ]
        self._members.append(f"CASE {' '.join(branches)} END")

    @property
    def finds_faults(self) -> bool:
        """Whether the query has reasons even where nothing was found before it ran."""
        return bool(self._conditions)

    def write(self, source: str, *, found_before: bool = False) -> str:
        """The query over the table `source`, which has FOUND_BEFORE if that is said."""
        found = quote_identifier(FOUND_BEFORE)
        select = list(self._select)
        if self.finds_faults or found_before:
            conditions = [*([f"{found} IS NOT NULL"] if found_before else []), *self._conditions]
            members = ", ".join([*([found] if found_before else []), *self._members])
            select.append(
                f"CASE WHEN {_join_any(conditions)} THEN concat('{{', concat_ws(',', {members}), '}}') "
                f"END AS {quote_identifier(REASONS)}"
            )
        if self._values:
            source = f"(SELECT *, {', '.join(self._values)} FROM {source})"
        return f"SELECT {', '.join(select)} FROM {source}"


def _join_any(conditions: Sequence[str]) -> str:
    return " OR ".join(f"({condition})" for condition in conditions)
