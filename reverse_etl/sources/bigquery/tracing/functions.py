"""Which calls in a query can be looked into: the ones that BigQuery itself defines.

A function somebody created may read tables of its own, and a model was trained on some.
"""

from collections.abc import Iterator, Mapping

from sqlglot import exp

#: BigQuery's own functions that are called by a path; any other path is somebody's routine, or a model.
_BUILT_IN: Mapping[str, frozenset[str]] = {
    "net": frozenset(
        {
            *("host", "reg_domain", "public_suffix", "ip_from_string", "safe_ip_from_string"),
            *("ip_to_string", "ip_net_mask", "ip_trunc", "ipv4_from_int64", "ipv4_to_int64"),
        }
    ),
    "hll_count": frozenset({"init", "merge", "merge_partial", "extract"}),
    "kll_quantiles": frozenset(
        {
            *("init_int64", "init_float64", "merge_partial"),
            *("merge_int64", "merge_float64", "extract_int64", "extract_float64"),
            *("merge_point_int64", "merge_point_float64"),
            *("extract_point_int64", "extract_point_float64"),
        }
    ),
    "aead": frozenset({"encrypt", "decrypt_string", "decrypt_bytes", "envelope"}),
    "keys": frozenset(
        {
            *("new_keyset", "new_wrapped_keyset", "rewrap_keyset", "rotate_keyset", "keyset_chain"),
            *("rotate_wrapped_keyset", "keyset_from_json", "keyset_to_json", "keyset_length"),
            "add_key_from_raw_bytes",
        }
    ),
}


def is_method(node: exp.Dot) -> bool:
    """Whether a call is chained to a value, `(email).UPPER()`, instead of named by a path."""
    return not _is_path(node.this)


def name_routine(node: exp.Expr) -> str | None:
    """The name of the routine that `node` calls; None when it calls none, or one of BigQuery's own."""
    if isinstance(node, exp.Dot) and isinstance(node.expression, exp.Func):
        if is_method(node):
            return None
        return _judge([*_read_path(node.this), _read_name(node.expression)])
    if isinstance(node, exp.NetFunc) and isinstance(node.this, exp.Func):
        return _judge(["net", _read_name(node.this)])
    if isinstance(node, exp.Anonymous):
        path = _read_name(node).split(".")
        return _judge(path) if len(path) > 1 else None
    return None


def find_routines(tree: exp.Expr) -> Iterator[str]:
    """The names of all routines called in expressions; table functions are not among them."""
    for node in tree.walk():
        name = name_routine(node)
        if name is not None:
            yield name


def name_table_function(node: exp.Table) -> str | None:
    """The name of the function that stands in FROM; None when a table does."""
    if isinstance(node.this, exp.Identifier | exp.Dot):
        return None
    name = _read_name(node.this) if isinstance(node.this, exp.Func) else node.this.key
    return ".".join(part for part in (node.catalog, node.db, name) if part)


def _judge(path: list[str]) -> str | None:
    words = [part.casefold() for part in path]
    if words[0] == "safe":
        words = words[1:]
    known = len(words) == 1 or words[-1] in _BUILT_IN.get(".".join(words[:-1]), ())
    return None if known else ".".join(path)


def _is_path(node: exp.Expr) -> bool:
    if isinstance(node, exp.Dot):
        return _is_path(node.this) and isinstance(node.expression, exp.Identifier)
    return isinstance(node, exp.Identifier | exp.Column)


def _read_path(node: exp.Expr) -> list[str]:
    if isinstance(node, exp.Dot):
        return [*_read_path(node.this), node.expression.name]
    parts = node.parts if isinstance(node, exp.Column) else [node]
    return [word for part in parts for word in part.name.split(".")]


def _read_name(node: exp.Expr) -> str:
    """The name a function was called by."""
    name = node.name if isinstance(node, exp.Anonymous) else node.key
    return str(name)
