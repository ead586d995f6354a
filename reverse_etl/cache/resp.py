"""Commands and replies of Redis' wire protocol as SQL, for whole columns of records. Pure.

Each function returns a SQL expression whose value is one command or one reply as it goes over the
wire (RESP2). The strings of a column lie one after the other in its Arrow data buffer, so that
buffer *is* what is sent, and what is expected back.

The arguments are SQL expressions, except `prefix`, the text before each key. A record whose line or
key is NULL gives NULL, never half a command. Everything is length-prefixed (in bytes, hence
`strlen`): no byte of a key or a value means anything to the protocol.
"""

from reverse_etl.sql import quote_literal

#: The reply to a successful SET.
SET_REPLY = b"+OK\r\n"

#: The bytes of a reply to UNLINK of one key: `:0` when there was none, else `:1`.
UNLINK_REPLY_BYTES = 4

_END = "\r\n"


def set_command(*, prefix: str, key: str, line: str) -> str:
    """`SET <prefix><key> <line>`."""
    return _guarded(
        key,
        f"concat({_head('SET', words=3, prefix=prefix, key=key)}, {key}, "
        f"{quote_literal(_END + '$')}, strlen({line}), {_literal_end()}, {line}, {_literal_end()})",
    )


def get_command(*, prefix: str, key: str) -> str:
    """`GET <prefix><key>`."""
    return _command_of_key("GET", prefix=prefix, key=key)


def unlink_command(*, prefix: str, key: str) -> str:
    """`UNLINK <prefix><key>`."""
    return _command_of_key("UNLINK", prefix=prefix, key=key)


def get_reply(*, key: str, line: str) -> str:
    """What GET answers when `line` is there; NULL where the key is, to stay beside its command."""
    return _guarded(key, f"concat('$', strlen({line}), {_literal_end()}, {line}, {_literal_end()})")


def _command_of_key(name: str, *, prefix: str, key: str) -> str:
    return _guarded(
        key, f"concat({_head(name, words=2, prefix=prefix, key=key)}, {key}, {_literal_end()})"
    )


def _head(name: str, *, words: int, prefix: str, key: str) -> str:
    """Everything before the key's own bytes, as arguments of concat."""
    before = f"*{words}{_END}${len(name)}{_END}{name}{_END}$"
    length = len(prefix.encode())
    return f"{quote_literal(before)}, strlen({key}) + {length}, {quote_literal(_END + prefix)}"


def _literal_end() -> str:
    return quote_literal(_END)


def _guarded(key: str, command: str) -> str:
    # concat takes NULL for an empty text; without this a record without a key would shift the rest.
    return f"CASE WHEN {key} IS NOT NULL THEN {command} END"
