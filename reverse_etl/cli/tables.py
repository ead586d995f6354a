"""Plain tables for a terminal or a file: columns aligned with spaces, no colour, no borders."""

from collections.abc import Sequence

_GAP = "  "


def render_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: frozenset[str] = frozenset()
) -> str:
    """Lines with aligned columns, a header and a rule; columns named in `numeric` lean right."""
    lines = [header, *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]

    def lay_out(cells: Sequence[str]) -> str:
        laid = [
            cell.rjust(width) if name in numeric else cell.ljust(width)
            for cell, width, name in zip(cells, widths, header, strict=True)
        ]
        return _GAP.join(laid).rstrip()

    rule = _GAP.join("-" * width for width in widths)
    return "\n".join([lay_out(header), rule, *(lay_out(row) for row in rows)])
