"""What `terraform fmt` would change, as far as these files go: spaces, indentation, aligned `=`."""

import re
from collections.abc import Iterator

_ASSIGNED = re.compile(r"^(?P<lead> *(?:[\w-]+|\"[^\"]+\")) *=(?![=>])")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_COMMENT = re.compile(r"\s*#.*$")


def find_misformatted(text: str) -> Iterator[str]:
    """A complaint a line."""
    if not text.endswith("\n") or text.endswith("\n\n"):
        yield "does not end in one newline"
    depth = 0
    chain: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        bare = _COMMENT.sub("", _STRING.sub('""', line))
        opened, closed = _count(bare, "([{"), _count(bare, ")]}")
        leading_closed = len(re.match(r"[\s)\]}]*", bare)[0].replace(" ", ""))  # type: ignore[index]
        if line != line.rstrip() or "\t" in line:
            yield f"line {number}: a tab, or space at the end"
        indent = 2 * (depth - leading_closed)
        if line and len(line) - len(line.lstrip(" ")) != indent:
            yield f"line {number}: {indent} spaces expected before it"
        depth += opened - closed
        # A value of several lines stands for itself, as terraform has it.
        if _ASSIGNED.match(line) and opened == closed:
            chain.append((number, line))
            continue
        yield from _find_unaligned(chain)
        if _ASSIGNED.match(line):
            yield from _find_unaligned([(number, line)])
        chain = []
    yield from _find_unaligned(chain)


def _find_unaligned(chain: list[tuple[int, str]]) -> Iterator[str]:
    leads = {number: _ASSIGNED.match(line)["lead"] for number, line in chain}  # type: ignore[index]
    column = max((len(lead) for lead in leads.values()), default=0)
    for number, line in chain:
        if not line.startswith(f"{leads[number]:<{column}} = ") or line[column + 3] == " ":
            yield f"line {number}: '=' expected in column {column + 2}, a space on either side"


def _count(text: str, characters: str) -> int:
    return sum(text.count(character) for character in characters)
