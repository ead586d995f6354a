"""The table at the end."""

from rich.console import Console
from rich.table import Table

from reverse_etl_tests.torture.check import Fault, Findings


def print_findings(findings: Findings, *, title: str, console: Console) -> None:
    """Everything that was done, and what was wrong: a zero for each kind of fault."""
    table = Table(title=title, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    for what, number in sorted(findings.counts.items()):
        table.add_row(what, f"{number:,}")
    table.add_section()
    for fault in Fault:
        table.add_row(f"[bold]{fault}[/]", f"[bold]{findings.faults[fault]:,}[/]")
    console.print(table)
    for text in findings.told:
        console.print(text, markup=False, style="red")
