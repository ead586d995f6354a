"""Texts of a whole column through a second engine, for what the masking query has no function for."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.errors import TerminalError

if TYPE_CHECKING:  # 0.2 s to import, which a policy without such rules does not need
    from reverse_etl.masking.frames import pl

#: The column's name in the frames that `compute_frame` gives and takes.
TEXT = "text"


def compute_texts(
    texts: pa.ChunkedArray, build: Callable[["pl.Expr"], "pl.Expr"], *, doing: str
) -> pa.ChunkedArray:
    """What the expression over the column gives, as STRING; `doing` names it should that fail."""
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

    # Lazy, because then what the expression uses twice is computed once.
    return compute_frame(
        texts,
        lambda frame: frame.lazy().select(build(pl.col(TEXT)).alias(TEXT)).collect(),
        doing=doing,
    )


def compute_frame(
    texts: pa.ChunkedArray, transform: Callable[["pl.DataFrame"], "pl.DataFrame"], *, doing: str
) -> pa.ChunkedArray:
    """The same in as many stages as it takes."""
    from reverse_etl.masking.frames import pl  # noqa: PLC0415 - see above

    try:
        found = transform(pl.DataFrame(pa.Table.from_arrays([texts], names=[TEXT])))[TEXT]
    except pl.exceptions.PolarsError as error:
        raise TerminalError(
            f"The engine failed while {doing} ({type(error).__name__}). Nothing was masked. Its own text "
            "is withheld, because it may quote a value: report this with the version of polars."
        ) from None
    return pa.chunked_array([pc.cast(found.to_arrow(), pa.string())])
