"""Numbers as people read them, in ASCII."""

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")
_THOUSAND = 1000
_MINUTE = 60
_TEN = 10


def format_count(count: float) -> str:
    """A whole number with separators: `198,213`."""
    return f"{count:,.0f}"


def format_bytes(size: float) -> str:
    """A size in decimal units, two or three digits: `512 B`, `4.1 kB`, `31 MB`."""
    unit = _BYTE_UNITS[0]
    for unit in _BYTE_UNITS:
        if size < _THOUSAND or unit == _BYTE_UNITS[-1]:
            break
        size /= _THOUSAND
    digits = 1 if size < _TEN and unit != _BYTE_UNITS[0] else 0
    return f"{size:.{digits}f} {unit}"


def format_seconds(seconds: float) -> str:
    """A duration: `0.04 s`, `3.2 s`, `2 min 05 s`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest:02d} s"


def format_rate(rows: int, seconds: float) -> str:
    """Rows a second, or a dash where too little time passed to say."""
    return format_count(rows / seconds) if seconds > 0 else "-"
