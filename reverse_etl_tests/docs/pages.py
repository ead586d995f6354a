"""Markdown as far as our pages use it: headings, fenced blocks, and the files that blocks are."""

import itertools
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<language>\S*)[^\n]*\n(?P<body>.*?)^(?P=fence)\s*$",
    re.MULTILINE | re.DOTALL,
)
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$", re.MULTILINE)
_NO_FILES = {"console", "text", "bash"}
_EXIT_CODE = re.compile(r"\s+# exit code (\d+)$")


@dataclass(frozen=True)
class Command:
    """A line after `$ `, what a person would see, and how it ends."""

    words: str
    expected: str
    exit_code: int


@dataclass(frozen=True)
class Block:
    """A fenced block. `path` is the file that it is, where the line before says so: `` `a/b.sql`: ``."""

    language: str
    body: str
    path: str | None

    def list_commands(self) -> list[Command]:
        """The commands of a `console` block, in order."""
        commands = []
        for part in re.split(r"^\$ ", self.body, flags=re.MULTILINE)[1:]:
            words, _, expected = part.partition("\n")
            found = _EXIT_CODE.search(words)
            code = int(found[1]) if found else 0
            commands.append(
                Command(words=_EXIT_CODE.sub("", words), expected=expected, exit_code=code)
            )
        return commands


@dataclass(frozen=True)
class Section:
    """What stands below one heading, up to the next."""

    title: str
    anchor: str
    text: str
    blocks: list[Block] = field(default_factory=list)


def read_sections(path: Path) -> list[Section]:
    """Every section of a page, in order."""
    text = path.read_text(encoding="utf-8")
    places = [*_list_headings(text), (len(text), len(text), "", "")]
    return [
        Section(
            title=title,
            anchor=anchor,
            text=text[end:following],
            blocks=list(_list_blocks(text[end:following])),
        )
        for (_, end, title, anchor), (following, *_) in itertools.pairwise(places)
    ]


def list_anchors(path: Path) -> set[str]:
    """What a link to a place in the page can name."""
    return {anchor for *_, anchor in _list_headings(path.read_text(encoding="utf-8"))}


def strip_code(text: str) -> str:
    """The text without fenced blocks and inline code, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))


def _list_blocks(text: str) -> Iterator[Block]:
    for found in _FENCE.finditer(text):
        before = text[: found.start()].rstrip().rpartition("\n")[2]
        named = re.search(r"`([\w./-]+)`[^`]*:$", before)
        is_file = named is not None and found["language"] not in _NO_FILES
        yield Block(found["language"], found["body"], named[1] if named and is_file else None)


def _list_headings(text: str) -> Iterator[tuple[int, int, str, str]]:
    """Start and end of each, its text, and its anchor as GitHub makes it."""
    covered = [found.span() for found in _FENCE.finditer(text)]
    seen: dict[str, int] = {}
    for found in _HEADING.finditer(text):
        if any(start <= found.start() < end for start, end in covered):
            continue
        anchor = _make_anchor(found[2])
        count = seen[anchor] = seen.get(anchor, -1) + 1
        yield found.start(), found.end(), found[2], f"{anchor}-{count}" if count else anchor


def _make_anchor(title: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
    kept = (
        character
        for character in plain
        if character in " -_" or unicodedata.category(character)[0] in "LN"
    )
    return "".join(kept).replace(" ", "-")
