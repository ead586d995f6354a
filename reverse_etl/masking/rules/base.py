"""What every rule is: the options of one column in YAML, its output type, and its SQL expression."""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from reverse_etl.errors import PolicyError
from reverse_etl.masking.faults import Action, Fault, OnError
from reverse_etl.masking.keys import MaskingKey
from reverse_etl.sql import quote_identifier
from reverse_etl.types import bigquery_type_name

#: The longest value that is masked unless its rule says otherwise.
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskContext:
    """What a rule may depend on beside its column: never today, never the machine."""

    sync: str
    partition_date: dt.date
    masking_key: MaskingKey | None = None


#: A whole column of one batch to another of as many values, outside the engine.
Compute = Callable[[pa.ChunkedArray], pa.Array | pa.ChunkedArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """A column that is computed from `source` before the query runs, and stands in it as `name`."""

    name: str
    source: str
    compute: Compute = field(repr=False)


@dataclass(slots=True)
class Parameters:
    """What a masking query is given beside its batch: bound constants, and columns computed before.

    Derived keys are inside of those computations, never in SQL text.
    """

    values: dict[str, Any] = field(default_factory=dict)
    computed: list[Computed] = field(default_factory=list)

    def bind(self, value: object) -> str:
        """The placeholder of a new parameter."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"${name}"

    def bind_column(self, source: str, compute: Compute) -> str:
        """The quoted name of a new column, computed from that of the batch named `source`."""
        # No column of a batch has such a name: names with dots are refused.
        name = f".computed{len(self.computed)}"
        self.computed.append(Computed(name=name, source=source, compute=compute))
        return quote_identifier(name)

    def share_column(self, source: str, compute: Compute) -> str:
        """The name, unquoted, of a column that is computed once: others may be computed from it."""
        for item in self.computed:
            if (item.source, item.compute) == (source, compute):
                return item.name
        self.bind_column(source, compute)
        return self.computed[-1].name

    def __repr__(self) -> str:
        return f"Parameters({len(self.values)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What a column is called, quoted, where its faults are looked for: before and after masking."""

    raw: str
    masked: str


class Rule(BaseModel):
    """One column of the query and how it leaves.

    A subclass is one rule of the catalogue: a `rule` literal, its options, its methods, and what it
    cannot mask.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        description="The column's name in the query's result, or a path into a nested one: address.city, "
        "addresses[].city, tags[]."
    )
    rule: str
    type: str | None = Field(
        default=None,
        description="The column's BigQuery type; when given, another type stops the sync.",
    )
    on_error: OnError = Field(
        default="default",
        description="What becomes of a row whose value the rule cannot mask: fail, null or quarantine; "
        "when not given what the rule documents for such values, and fail where it documents nothing.",
    )
    max_bytes: int = Field(
        default=_MAX_BYTES,
        ge=1,
        le=1 << 30,
        description="A value of more bytes cannot be masked; of an ARRAY or STRUCT all its texts count.",
    )

    #: Whether the column leaves the source at all.
    leaves: ClassVar[bool] = True
    #: Whether the rule needs a masking key.
    needs_key: ClassVar[bool] = False
    #: Whether it makes a difference to the rule what a value is, and not only that there is one.
    reads_values: ClassVar[bool] = True

    @property
    def shows_guarded_values(self) -> bool:
        """Whether values protected upstream would leave as they are, without a reason given."""
        return False

    def output_field(self, column: pa.Field) -> pa.Field:
        """The column as it lands; `PolicyError` when the rule does not apply to its type."""
        raise NotImplementedError

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """SQL of the engine that masks the column `quoted`; NULL stays NULL."""
        raise NotImplementedError

    @property
    def action(self) -> Action:
        """What becomes of a row whose value is a fault."""
        return "fail" if self.on_error == "default" else self.on_error

    @property
    def is_told(self) -> bool:
        """Whether the sync says what becomes of such a row: then what the rule documents does not count."""
        return self.on_error != "default"

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """The values that the rule cannot mask, each kind with its SQL; of several the first counts.

        Length and encoding of texts are looked at for all rules alike, before any of this is.
        """
        del names, column, parameters, context
        return ()

    def summary(self) -> str:
        """The rule and its options, as lineage and manifests show it."""
        options = self.show_options()
        if self.is_told:
            options["on_error"] = self.on_error
        if self.max_bytes != _MAX_BYTES:
            options["max_bytes"] = self.max_bytes
        shown = ", ".join(f"{name}: {json.dumps(value)}" for name, value in options.items())
        return f"{self.rule}({shown})" if shown else self.rule

    def show_options(self) -> dict[str, Any]:
        """The options of the rule's own, for people."""
        return self.model_dump(mode="json", exclude=set(Rule.model_fields), exclude_none=True)

    def refuse(self, column: pa.Field, expected: str) -> PolicyError:
        """The error for a column of a type that this rule does not take."""
        return PolicyError(
            f"Rule '{self.rule}' of column '{self.name}' takes {expected}; the query returns "
            f"{bigquery_type_name(column)}. Choose another rule, or cast the column in the query."
        )
