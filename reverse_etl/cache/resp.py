"""Commands and replies of Redis' wire protocol as SQL, for whole columns of records. Pure.

Each function returns a SQL expression whose value is one command or one reply as it goes over the
wire (RESP2). The strings of a column lie one after the other in its Arrow data buffer, so that
buffer *is* what is sent, and what is expected back.

The arguments are SQL expressions, except `prefix`, the text before each key. `lead` says of a record
how many, itself included, share the command that begins with it; 0 of one inside a command. A record
whose line or key is NULL gives NULL, never half a command. Everything is length-prefixed (in bytes, hence
`strlen`): no byte of a key or a value means anything to the protocol.
"""

from reverse_etl.sql import quote_literal

#: The reply to a successful MSET.
STORED_REPLY = b"+OK\r\n"

#: The bytes of a reply to UNLINK of one key: `:0` when there was none, else `:1`.
UNLINK_REPLY_BYTES = 4

_END = "\r\n"


def mset_command(*, prefix: str, key: str, line: str, lead: str) -> str:
    """`MSET <prefix><key> <line> ...`: the record's part of it, after the head if it leads."""
    head = _lead("MSET", lead, words=f"2 * {lead} + 1")
    return _guarded(key, f"concat({head}, {_bulk_key(prefix, key)}, {_bulk(line)})")


def mget_command(*, prefix: str, key: str, lead: str) -> str:
    """`MGET <prefix><key> ...`: the record's part of it, after the head if it leads."""
    head = _lead("MGET", lead, words=f"{lead} + 1")
    return _guarded(key, f"concat({head}, {_bulk_key(prefix, key)})")


def mget_reply(*, key: str, line: str, lead: str) -> str:
    """What MGET answers when `line` is there; NULL where the key is, to stay beside its command."""
    head = f"CASE WHEN {lead} > 0 THEN concat('*', {lead}, {_literal_end()}) END"
    return _guarded(key, f"concat({head}, {_bulk(line)})")


def unlink_command(*, prefix: str, key: str) -> str:
    """`UNLINK <prefix><key>`."""
    return _command_of_key("UNLINK", prefix=prefix, key=key)


def _command_of_key(name: str, *, prefix: str, key: str) -> str:
    head = quote_literal(f"*2{_END}${len(name)}{_END}{name}{_END}")
    return _guarded(key, f"concat({head}, {_bulk_key(prefix, key)})")


def _lead(name: str, lead: str, *, words: str) -> str:
    """The head of a command where one begins. concat takes the NULL elsewhere for an empty text."""
    after = quote_literal(f"{_END}${len(name)}{_END}{name}{_END}")
    return f"CASE WHEN {lead} > 0 THEN concat('*', {words}, {after}) END"


def _bulk_key(prefix: str, key: str) -> str:
    """`<prefix><key>` as a bulk string, as arguments of concat."""
    length = len(prefix.encode())
    return f"'$', strlen({key}) + {length}, {quote_literal(_END + prefix)}, {key}, {_literal_end()}"


def _bulk(text: str) -> str:
    """A bulk string, as arguments of concat."""
    return f"'$', strlen({text}), {_literal_end()}, {text}, {_literal_end()}"


def _literal_end() -> str:
    return quote_literal(_END)


def _guarded(key: str, command: str) -> str:
    # concat takes NULL for an empty text; without this a record without a key would shift the rest.
    return f"CASE WHEN {key} IS NOT NULL THEN {command} END"
