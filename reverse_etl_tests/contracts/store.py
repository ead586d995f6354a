"""What every object store promises: subclass `StoreContract` and give it a fixture `store`."""

import contextlib
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from reverse_etl.errors import ConflictError, NotFoundError, TerminalError
from reverse_etl.landing.store import ObjectStore, find

REFUSED_NAMES = {
    "empty": "",
    "parent": "../x",
    "parent inside": "a/../../x",
    "absolute": "/etc/passwd",
    "closing slash": "a/",
    "empty element": "a//b",
    "here": "a/./b",
    "dot file": "a/.hidden",
    "dot folder": ".locks/a",
    "NUL": "a\0b",
    "lone surrogate": "a\ud800",
    "long element": "a" * 256,
    "long name": "/".join(["a" * 200] * 6),
}
TAKEN_NAMES = [
    "a",
    "user_stats/dt=2026-11-19/2026-11-19.01kxqt5w8b7g4m2t/000a3.jsonl.gz",
    "with space/and+plus/and%25",
    "наме/名前/🐘",
    "back\\slash/and!mark",
    "b" * 255,
    "trailing.dot.",
    " spaces around / everywhere ",
    "a=b&c;d:e@f,g$h'i(j)*k~l",
    'quotes"and<angles>[brackets]{braces}|^`',
    "hash#question?percent%2Fslash%zz",
    "e\u0301 and \u00e9",
]


def run_together(jobs: list[Callable[[], object]]) -> list[object]:
    """Start all jobs at the same moment, one thread each; return their results in order."""
    gate = threading.Barrier(len(jobs))

    def start(job: Callable[[], object]) -> object:
        gate.wait(timeout=30)
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(start, jobs))


def count_up(store: ObjectStore, name: str, times: int) -> None:
    """Add one to the number in an object, so often, by compare-and-set."""
    for _ in range(times):
        while True:
            body, etag = store.get_with_etag(name)
            with contextlib.suppress(ConflictError):
                store.put_if_match(name, b"%d" % (int(body) + 1), etag=etag)
                break


def try_create(store: ObjectStore, name: str, body: bytes) -> bool:
    """Whether this caller's `put_if_absent` won."""
    try:
        store.put_if_absent(name, body)
    except ConflictError:
        return False
    return True


class StoreContract:
    """The suite. A form that cannot keep a promise overrides the test and says why."""

    @pytest.mark.parametrize("body", [b"", b"\0\r\n\xff", b"x" * 3_000_000])
    def test_object_comes_back_whole(self, store: ObjectStore, body: bytes) -> None:
        """Any bytes, none and millions of them, are read as they were written."""
        store.put("a/b", body)

        assert store.get("a/b") == body

    def test_put_replaces(self, store: ObjectStore) -> None:
        """A second put wins over the first, whichever is longer."""
        store.put("a", b"the first, longer")
        store.put("a", b"second")

        assert store.get("a") == b"second"

    @pytest.mark.parametrize("name", TAKEN_NAMES)
    def test_name_is_kept_as_it_is(self, store: ObjectStore, name: str) -> None:
        """A listing shows the name that was written, and it can be read and removed by it."""
        store.put(name, b"1")

        assert [item.name for item in store.list_objects("")] == [name]
        assert store.get(name) == b"1"
        store.delete([name])
        assert list(store.list_objects("")) == []

    @pytest.mark.parametrize("name", REFUSED_NAMES.values(), ids=REFUSED_NAMES)
    def test_name_outside_the_rules_is_refused(self, store: ObjectStore, name: str) -> None:
        """A name that could leave the root, or hide in it, reaches no store by any call."""
        calls: list[Callable[[], object]] = [
            lambda: store.put(name, b""),
            lambda: store.put_if_absent(name, b""),
            lambda: store.put_if_match(name, b"", etag="x"),
            lambda: store.get(name),
            lambda: store.get_with_etag(name),
            lambda: store.get_range(name, start=0, length=1),
            lambda: store.get_tail(name, length=1),
            lambda: store.delete([name]),
        ]

        for call in calls:
            with pytest.raises(TerminalError, match="is not an object name"):
                call()
        assert list(store.list_objects("")) == []

    @pytest.mark.parametrize(
        "prefix", ["../", "/", "/etc/", "a/../", ".locks/", "a/.h", "a//", "\0"]
    )
    def test_prefix_outside_the_rules_is_refused(self, store: ObjectStore, prefix: str) -> None:
        """No listing shows anything beside the root, or what the store keeps for itself."""
        with pytest.raises(TerminalError):
            list(store.list_objects(prefix))
        with pytest.raises(TerminalError):
            store.list_folders(prefix)

    def test_folder_without_closing_slash_is_refused(self, store: ObjectStore) -> None:
        """Asked for folders below half a name, a store does not guess which half was meant."""
        store.put("ab/c/d", b"")

        with pytest.raises(TerminalError, match="slash"):
            store.list_folders("a")

    @pytest.mark.parametrize("name", ["absent", "a/absent", "a", "a/b/c"])
    def test_absent_object_is_not_found(self, store: ObjectStore, name: str) -> None:
        """An absent object, a folder, and a name below an object are the same: not found."""
        store.put("a/b", b"1")

        calls: list[Callable[[str], object]] = [
            store.get,
            store.get_with_etag,
            lambda name: store.get_range(name, start=0, length=1),
            lambda name: store.get_tail(name, length=1),
        ]
        for call in calls:
            with pytest.raises(NotFoundError, match=name):
                call(name)
        assert find(store, name) is None

    @pytest.mark.parametrize("start", [0, 3, 9, 10, 11, 5_000_000_000])
    @pytest.mark.parametrize("length", [1, 4, 10, 5_000_000_000])
    def test_range_is_a_slice(self, store: ObjectStore, start: int, length: int) -> None:
        """Of a range, what lies inside of the object is read, which may be nothing."""
        body = b"0123456789"
        store.put("a", body)

        assert store.get_range("a", start=start, length=length) == body[start : start + length]

    @pytest.mark.parametrize("length", [1, 9, 10, 11, 5_000_000_000])
    def test_tail_is_the_end(self, store: ObjectStore, length: int) -> None:
        """The last bytes are read, or all of an object that has not as many."""
        store.put("a", b"0123456789")

        assert store.get_tail("a", length=length) == b"0123456789"[-length:]

    def test_empty_object_has_no_bytes(self, store: ObjectStore) -> None:
        """Of an object without bytes every range is empty."""
        store.put("empty", b"")

        assert store.get_tail("empty", length=4) == b""
        assert store.get_range("empty", start=0, length=4) == b""

    def test_range_of_nothing_is_refused(self, store: ObjectStore) -> None:
        """A range has a byte at least, and does not begin before the object."""
        store.put("a", b"0123456789")

        for start, length in ((0, 0), (-1, 1), (0, -1)):
            with pytest.raises(TerminalError, match="no range"):
                store.get_range("a", start=start, length=length)
        with pytest.raises(TerminalError, match="no range"):
            store.get_tail("a", length=0)

    def test_etag_names_the_bytes(self, store: ObjectStore) -> None:
        """Conditional writes return the etag that a read then shows; new bytes have a new one."""
        created = store.put_if_absent("a", b"1")
        first = store.get_with_etag("a")
        replaced = store.put_if_match("a", b"2", etag=created)

        assert first == (b"1", created)
        assert find(store, "a") == (b"2", replaced)
        assert replaced != created

    def test_put_returns_the_etag(self, store: ObjectStore) -> None:
        """A put returns the etag that a read shows (or none where it costs), for a compare-and-set."""
        etag = store.put("a", b"1")
        shown = store.get_with_etag("a")[1]

        assert etag in ([shown] if store.keeps_checksums else [shown, None])
        store.put_if_match("a", b"2", etag=shown)
        assert store.get("a") == b"2"

    @pytest.mark.parametrize("etag", ["", "x", '"x"', "a b", "é", "a\nb", '"' + "0" * 32 + '"'])
    def test_etag_of_nothing_matches_nothing(self, store: ObjectStore, etag: str) -> None:
        """Whatever stands where an etag belongs, what does not name the bytes loses."""
        store.put("a", b"1")

        with pytest.raises(ConflictError, match="'a'"):
            store.put_if_match("a", b"2", etag=etag)
        assert store.get("a") == b"1"

    def test_put_takes_metadata(self, store: ObjectStore) -> None:
        """What is said of an object for people changes neither its bytes nor that it is replaced."""
        store.put("a", b"1", metadata={"run-id": "7f3a", "sha256": "0" * 64, "empty": ""})
        store.put("a", b"2", metadata={})

        assert store.get("a") == b"2"

    def test_put_if_absent_leaves_what_is_there(self, store: ObjectStore) -> None:
        """The second to create loses, even with equal bytes, and changes nothing."""
        store.put_if_absent("a", b"1")

        for body in (b"1", b"2"):
            with pytest.raises(ConflictError, match="'a'"):
                store.put_if_absent("a", body)
        assert store.get("a") == b"1"

    def test_put_if_absent_after_delete_creates(self, store: ObjectStore) -> None:
        """Once removed, a name is free again."""
        store.put_if_absent("a", b"1")
        store.delete(["a"])

        store.put_if_absent("a", b"2")

        assert store.get("a") == b"2"

    def test_put_if_match_with_stale_etag_loses(self, store: ObjectStore) -> None:
        """Whoever read before another's write cannot undo it."""
        stale = store.put_if_absent("a", b"1")
        store.put("a", b"2")

        with pytest.raises(ConflictError, match="'a'"):
            store.put_if_match("a", b"3", etag=stale)
        assert store.get("a") == b"2"

    def test_put_if_match_does_not_create(self, store: ObjectStore) -> None:
        """An object that is gone, or never was, is not brought back by a compare-and-set."""
        etag = store.put_if_absent("a", b"1")
        store.delete(["a"])

        for name in ("a", "never/was"):
            with pytest.raises(ConflictError):
                store.put_if_match(name, b"2", etag=etag)
        assert list(store.list_objects("")) == []

    def test_listing_is_by_prefix_and_in_byte_order(self, store: ObjectStore) -> None:
        """Names come in the order of their UTF-8, as S3 has it, wherever the prefix ends."""
        names = ["s/a-x", "s/a.x", "s/a/x", "s/aé", "s/a😀", "s/a\uffee", "sa", "t"]
        for name in names:
            store.put(name, name.encode())

        for prefix in ("s/a", "s/a/", "s/a/x", "s/", "s", "sa", "", "s/a-xx"):
            found = sorted((name for name in names if name.startswith(prefix)), key=str.encode)
            assert [(item.name, item.bytes) for item in store.list_objects(prefix)] == [
                (name, len(name.encode())) for name in found
            ]

    @pytest.mark.parametrize("prefix", ["", "s/", "s/a"])
    def test_listing_between_two_names(self, store: ObjectStore, prefix: str) -> None:
        """It begins behind the one and ends with the other, whether objects have these names or not."""
        names = ["s/a-x", "s/a.x", "s/a/x", "s/aé", "s/a😀", "s/a\uffee", "sa", "t"]
        for name in names:
            store.put(name, b"")
        ends = [None, "a", "s", "s/a.x", "s/a/b", "s/aé", "s/a\uffee", "sa", "tt"]

        for after, until in itertools.product(ends, ends):
            found = [item.name for item in store.list_objects(prefix, after=after, until=until)]
            assert found == [
                name
                for name in sorted(names, key=str.encode)
                if name.startswith(prefix)
                and (after is None or name.encode() > after.encode())
                and (until is None or name.encode() <= until.encode())
            ]

    @pytest.mark.parametrize("name", TAKEN_NAMES)
    def test_listing_is_cut_at_any_name(self, store: ObjectStore, name: str) -> None:
        """Two listings that meet at a name show all objects, and each of them once."""
        store.put(name, b"")
        store.put(f"{name[:200]}-", b"")
        whole = [item.name for item in store.list_objects("")]

        parts = [*store.list_objects("", until=name), *store.list_objects("", after=name)]

        assert [item.name for item in parts] == whole

    @pytest.mark.parametrize("name", ["", "a/", "/", "../x", "a//b", "a/.hidden", "a\0b"])
    def test_listing_between_no_names_is_refused(self, store: ObjectStore, name: str) -> None:
        """What cannot be an object's name is no place to cut a listing."""
        with pytest.raises(TerminalError, match="is not an object name"):
            list(store.list_objects("", after=name))
        with pytest.raises(TerminalError, match="is not an object name"):
            list(store.list_objects("", until=name))

    def test_listing_tells_the_etags(self, store: ObjectStore) -> None:
        """Where a listing tells etags, they are those that a read shows; a store of checksums tells them."""
        store.put("a", b"1")
        store.put_if_absent("b", b"2")

        listed = {item.name: item.etag for item in store.list_objects("")}

        shown = {name: store.get_with_etag(name)[1] for name in ("a", "b")}
        assert listed in ([shown] if store.keeps_checksums else [shown, dict.fromkeys("ab")])

    @pytest.mark.parametrize("prefix", ["nothing", "nothing/", "a/b/"])
    def test_listing_of_nothing_is_empty(self, store: ObjectStore, prefix: str) -> None:
        """A prefix that no object has, even one that goes through an object, lists nothing."""
        store.put("a/b", b"")

        assert list(store.list_objects(prefix)) == []
        assert store.list_folders(prefix if prefix.endswith("/") else f"{prefix}/") == []

    def test_folders_are_the_next_elements(self, store: ObjectStore) -> None:
        """Only elements with objects below count, each once, in order; objects are no folders."""
        for name in ("s/b/x", "s/a/y/z", "s/a/x", "s/file", "t/c/x"):
            store.put(name, b"")

        assert store.list_folders("s/") == ["a", "b"]
        assert store.list_folders("") == ["s", "t"]
        assert store.list_folders("s/a/") == ["y"]

    def test_folder_goes_with_its_last_object(self, store: ObjectStore) -> None:
        """What is deleted leaves no folder behind in a listing."""
        store.put("s/a/b/x", b"")
        store.put("s/y", b"")

        store.delete(["s/a/b/x"])

        assert store.list_folders("s/") == []

    def test_delete_takes_absent_names(self, store: ObjectStore) -> None:
        """Removing is the same whether the object, or its folder, is there or not."""
        store.put("a/b", b"")

        store.delete(["a/b", "a/b", "absent", "absent/too", "a/b/c", "a"])
        store.delete([])

        assert list(store.list_objects("")) == []

    def test_delete_of_a_folder_leaves_its_objects(self, store: ObjectStore) -> None:
        """A name is removed, never what lies below it."""
        store.put("a/b", b"")

        store.delete(["a"])

        assert [item.name for item in store.list_objects("")] == ["a/b"]

    def test_delete_reads_names_from_own_listing(self, store: ObjectStore) -> None:
        """The usual sweep, a listing handed straight to delete, neither hangs nor skips."""
        for number in range(20):
            store.put(f"s/{number:02d}", b"")
        store.put("t", b"")

        store.delete(item.name for item in store.list_objects("s/"))

        assert [item.name for item in store.list_objects("")] == ["t"]

    def test_sweep_of_the_unfinished_touches_no_object(self, store: ObjectStore) -> None:
        """What was written whole stays, however old; an absent folder is no error."""
        store.put("s/a", b"1")

        swept = [
            store.sweep_unfinished(folder, older_than_seconds=0, now=1e12)
            for folder in ("", "s/", "none/")
        ]

        assert swept == [0, 0, 0]
        assert store.get("s/a") == b"1"

    def test_flush_returns(self, store: ObjectStore) -> None:
        """Flush is allowed at any time, before the first write too."""
        store.flush()
        store.put("a", b"")
        store.flush()

        assert store.get("a") == b""

    def test_location_and_repr_show_no_content(self, store: ObjectStore) -> None:
        """The root is named as people write it; object names and bytes are not in a repr."""
        store.put("name-of-object", b"canary-5d1f")

        assert "://" in store.location
        assert "name-of-object" not in repr(store)
        assert "canary-5d1f" not in repr(store)

    def test_one_of_many_creators_wins(self, store: ObjectStore) -> None:
        """However threads race to create an object, one wins and its bytes are there."""
        bodies = [b"%d" % number for number in range(8)]

        for turn in range(10):
            name = f"race/{turn}"
            won = run_together([partial(try_create, store, name, body) for body in bodies])
            assert won.count(True) == 1
            assert store.get(name) == bodies[won.index(True)]

    def test_no_increment_is_lost(self, store: ObjectStore) -> None:
        """Compare-and-set from many threads counts every success once."""
        store.put("counter", b"0")

        run_together([partial(count_up, store, "counter", 10)] * 6)

        assert store.get("counter") == b"60"

    def test_reader_never_sees_half_an_object(self, store: ObjectStore) -> None:
        """While an object is replaced, a read shows one body or the other."""
        bodies = [bytes([letter]) * 200_000 for letter in b"ab"]
        store.put("a", bodies[0])
        seen: set[bytes] = set()

        def write() -> None:
            for turn in range(60):
                store.put("a", bodies[turn % 2])

        def read() -> None:
            for _ in range(60):
                seen.add(store.get("a"))

        run_together([write, read, read])

        assert seen <= set(bodies)
