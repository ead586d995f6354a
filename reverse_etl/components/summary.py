"""The summaries of runs, in Markdown: a line that says it all, then tables and pictures. Pure.

They show names and counts, never a value of a row, and are short enough to stand on the page at once.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from reverse_etl.components.costs import Charge, add_up
from reverse_etl.components.pictures import Bar, Tone, count_ranges, draw_bars
from reverse_etl.model import (
    CacheReceipt,
    ExtractReceipt,
    GroupCounts,
    Manifest,
    MaskedReceipt,
    Published,
)
from reverse_etl.sources.spending import format_usd

_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND, _TEN, _HUNDRED = 1000, 10, 100
_LEAST_USD = 0.0001
# Of a step's seconds: less beside the stages that are known is not worth a bar.
_REST_SHARE = 0.02
# An underscore inside a word is one.
_MARKUP = re.compile(r"[\\`*<\[\]|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def summarise_extract(receipt: ExtractReceipt) -> str:
    """One line: what was pinned."""
    snapshot = receipt.snapshot
    return _join(
        f"{snapshot.rows:,} rows pinned in {snapshot.source_kind}",
        "found from an earlier try of this run" if receipt.reused else "",
        f"readable until {snapshot.expires_at:%Y-%m-%d %H:%M} UTC",
    )


def summarise_masked(receipt: MaskedReceipt) -> str:
    """What landed, against the day before, and where the time went."""
    manifest = receipt.manifest
    first = _join(
        f"{manifest.rows:,} records in {_count(len(manifest.objects), f'{manifest.format} object')}",
        f"{manifest.quarantined:,} rows in quarantine" if manifest.quarantined else "",
        f"version `{manifest.version}` {receipt.outcome.value}",
    )
    return _stack(
        first,
        _compare(manifest, receipt.earlier),
        _draw_seconds(receipt.stage_seconds, receipt.seconds),
    )


def summarise_cache(receipt: CacheReceipt) -> str:
    """What readers see, how the records came there, and where the time went."""
    manifest, head = receipt.manifest, receipt.head
    is_live = receipt.outcome is not Published.SUPERSEDED
    first = _join(
        f"{head.rows:,} records live, version `{head.version}`, generation {head.generation}",
        "" if is_live else f"`{manifest.version}` is landed and superseded",
    )
    return _stack(
        first,
        _tabulate_readers(receipt),
        _draw_seconds(receipt.stage_seconds, receipt.seconds),
    )


def draw_objects(manifest: Manifest) -> str:
    """How evenly records are spread over objects; an object of JSON is a bucket, of Parquet many."""
    ranges = count_ranges([item.rows for item in manifest.objects])
    bars = [Bar(label=it.label, amount=it.count, text=f"{it.count:,}") for it in ranges]
    noun = "bucket" if manifest.buckets_per_object == 1 else "object"
    return draw_bars(f"Records in {_an(noun)}, and how many {noun}s", bars)


def draw_groups(groups: GroupCounts) -> str:
    """How many records stand in groups of which size; red: sizes that may be too small."""
    bars = [
        Bar(
            label=label,
            amount=records,
            text=f"{records:,}",
            tone=Tone.BAD if int(label.rstrip("+").split("-")[0]) < groups.k else Tone.PLAIN,
        )
        for label, _, records in groups.sizes
    ]
    title = (
        f"Size of a group, and records in such (k = {groups.k}; smallest: {groups.smallest or 0})"
    )
    return draw_bars(title, bars)


def tabulate_charges(charges: Sequence[Charge]) -> str:
    """What was charged for, how much of it, and what it costs, with the sum."""
    rows = [
        [
            charge.what,
            format_size(charge.quantity) if charge.is_bytes else f"{charge.quantity:,}",
            _tell_usd(charge.usd),
        ]
        for charge in charges
    ]
    total = ["**together**", "", _tell_usd(add_up(charges) or 0.0)]
    return build_table(["estimated", "", "USD"], [*rows, total])


def compute_change_percent(now: int, before: int) -> float | None:
    """How much more there is than before, in percent; None where there was nothing before."""
    return round(_HUNDRED * (now - before) / before, 3) + 0.0 if before else None


def format_size(size: float) -> str:
    """A size in decimal units: `512 B`, `4.1 kB`, `31 MB`."""
    unit = _UNITS[0]
    for unit in _UNITS:
        if size < _THOUSAND or unit == _UNITS[-1]:
            break
        size /= _THOUSAND
    digits = 1 if size < _TEN and unit != _UNITS[0] else 0
    return f"{size:.{digits}f} {unit}"


def build_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; cells may hold Markdown, and names in them go through `escape_markdown`."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape_markdown(text: str) -> str:
    """Text that is shown as it is: Markdown takes `ARRAY<STRING>` for HTML, and `_x_` for stress."""
    return _MARKUP.sub(r"\\\g<0>", text).replace("\n", " ")


def _compare(manifest: Manifest, earlier: Manifest | None) -> str:
    """The version's numbers, beside those of the nearest earlier day if there is one."""
    days = [manifest] if earlier is None else [manifest, earlier]
    rows = []
    for name, numbers, is_size in _list_measures(days):
        row = [name, *(format_size(it) if is_size else f"{it:,}" for it in numbers)]
        if earlier is not None:
            change = compute_change_percent(*numbers)
            row.append("" if change is None else f"{change:+.2f} %")
        rows.append(row)
    header = ["", *(day.partition for day in days), *([] if earlier is None else ["change"])]
    return build_table(header, rows)


def _list_measures(days: Sequence[Manifest]) -> Iterator[tuple[str, list[int], bool]]:
    """Name, the number of each day, and whether they are sizes in bytes."""
    yield "records", [day.rows for day in days], False
    yield "bytes", [day.bytes for day in days], True
    yield "columns", [len(day.columns) for day in days], False
    if any(day.quarantined for day in days):
        yield "in quarantine", [day.quarantined for day in days], False


def _tabulate_readers(receipt: CacheReceipt) -> str:
    """From what to what readers went; nothing where they stayed."""
    if receipt.outcome is not Published.LIVE:
        return ""
    before = receipt.before
    counts = {
        "before: no version" if before is None else f"before: `{before.version}`": (
            None if before is None else before.rows
        ),
        "in the store": receipt.manifest.rows,
        "loaded into Redis": receipt.rows_loaded,
        "read back, every byte": receipt.rows_verified,
    }
    rows = [[name, "" if count is None else f"{count:,}"] for name, count in counts.items()]
    return build_table(["", "records"], rows)


def _draw_seconds(stages: Mapping[str, float], whole: float) -> str:
    """How long each stage took; the rest is what stands around them."""
    if not stages:
        return ""
    rest = whole - sum(stages.values())
    spans = [*stages.items(), *([("the rest", rest)] if rest > _REST_SHARE * whole else [])]
    bars = [Bar(label=name, amount=span, text=f"{span:.2f} s") for name, span in spans]
    return draw_bars(f"Where {whole:.1f} s went", bars)


def _tell_usd(amount: float) -> str:
    return f"< {_LEAST_USD}" if 0 < amount < _LEAST_USD else format_usd(amount)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _an(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _join(*sentences: str) -> str:
    return "; ".join(sentence for sentence in sentences if sentence) + "."


def _stack(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
