"""`mask_text`, `email_domain`, `postal_prefix`: the part of a text that says where, and not who."""

from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from reverse_etl.masking.faults import Fault, Reason
from reverse_etl.masking.rules.base import MaskContext, Names, Parameters, Rule
from reverse_etl.masking.rules.columns import compute_texts
from reverse_etl.masking.spelling import DASHES, WHITE_SPACE
from reverse_etl.types import Kind, type_kind

#: How many mask characters stand in a value of `length: fixed`, however long it was.
_FIXED_LENGTH = 5

# One regular expression, so that a value is read once: a local part, the last @, a host name of two
# labels or more. What is looser ("Ada <ada@example.com>", "call me @ home") may say anything after
# its @, so it is malformed.
_LABEL = r"[\p{L}\p{M}\p{N}-]+"
#: What is an e-mail address, with its domain as the first group; case and white space were seen to.
ADDRESS = rf"^.+@((?:{_LABEL}\.)+{_LABEL})$"
#: RFC 1035, section 2.3.4.
_LONGEST_DOMAIN = 253

_NO_PART_OF_CODES = dict.fromkeys(WHITE_SPACE + DASHES, "")


class _TextRule(Rule):
    """What the rules for texts have in common: STRING in, STRING out."""

    def output_field(self, column: pa.Field) -> pa.Field:
        """STRING, from STRING."""
        if type_kind(column) is not Kind.STRING:
            raise self.refuse(column, "STRING")
        return pa.field(column.name, pa.string())


class MaskText(_TextRule):
    """The first and last characters (code points) of a text, with mask characters between them.

    A text that is not longer than `first` and `last` together is masked whole.
    """

    rule: Literal["mask_text"]
    first: int = Field(
        default=0, ge=0, le=10_000, description="How many characters stay at the beginning."
    )
    last: int = Field(
        default=0, ge=0, le=10_000, description="How many characters stay at the end."
    )
    mask: str = Field(
        default="*", min_length=1, max_length=1, description="What stands in for the others."
    )
    length: Literal["fixed", "keep"] = Field(
        default="fixed",
        description="fixed: always five mask characters, so that the length stays hidden; "
        "keep: one for each character that is hidden.",
    )

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """Beginning, mask and end; the mask alone when the two would meet."""
        del column, context
        shown = self.first + self.last
        if self.length == "fixed":
            middle = whole = f"{parameters.bind(self.mask * _FIXED_LENGTH)}::VARCHAR"
        else:
            mask = f"{parameters.bind(self.mask)}::VARCHAR"
            middle = f"repeat({mask}, length({quoted}) - {shown})"
            whole = f"repeat({mask}, length({quoted}))"
        parts = [f"left({quoted}, {self.first})", middle, f"right({quoted}, {self.last})"]
        return (
            f"CASE WHEN length({quoted}) > {shown} THEN {' || '.join(parts)} "
            f"WHEN {quoted} IS NOT NULL THEN {whole} END"
        )


class EmailDomain(_TextRule):
    """The domain of an e-mail address: what stands after the last @, its ASCII letters lower-cased."""

    rule: Literal["email_domain"]
    malformed: str | None = Field(
        default=None,
        description="What stands in for a value that is no e-mail address; without it such a value cannot "
        "be masked (on_error).",
    )

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """The domain where the whole value is an address; a name in another script stays as it is."""
        address = parameters.bind_column(column.name, _spell_address)
        domain = f"regexp_extract({address}, {parameters.bind(ADDRESS)}, 1, 's')"
        malformed = f"{parameters.bind(self.malformed)}::VARCHAR"
        del context
        return (
            f"CASE WHEN length({domain}) BETWEEN 1 AND {_LONGEST_DOMAIN} THEN {domain} "
            f"WHEN {quoted} IS NOT NULL THEN {malformed} END"
        )

    def list_faults(
        self, names: Names, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> tuple[Fault, ...]:
        """What is no address, unless a text stands in for it."""
        del column, parameters, context
        if self.malformed is not None:
            return ()
        no_domain = f"{names.raw} IS NOT NULL AND {names.masked} IS NULL"
        return (Fault(reason=Reason.MALFORMED_EMAIL, condition=no_domain),)


class PostalPrefix(_TextRule):
    """The first `length` characters of a postal code, in upper case, without blanks and dashes."""

    rule: Literal["postal_prefix"]
    length: int = Field(ge=1, le=20, description="How many characters remain.")

    def expression(
        self, quoted: str, column: pa.Field, parameters: Parameters, context: MaskContext
    ) -> str:
        """Its beginning, once every spelling of a code is the same."""
        del quoted, context
        return f"left({parameters.bind_column(column.name, _spell_code)}, {self.length})"


# Case means ASCII here: neither host names (RFC 4343) nor postal codes know another, and no two
# engines agree on all of Unicode.


def _spell_address(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.ascii_lower(pc.utf8_trim(values, characters=WHITE_SPACE))


def _spell_code(values: pa.ChunkedArray) -> pa.ChunkedArray:
    bare = compute_texts(
        values,
        lambda text: text.str.replace_many(_NO_PART_OF_CODES),
        doing="reading postal codes",
    )
    return pc.ascii_upper(bare)
