"""`rollback`, `verify`, `rebuild` and `warm` as a person types them at four in the morning."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from reverse_etl_tests.cli.conftest import DAY, USERS, Run, Shop

DAY_BEFORE = "2024-05-05"

Versions = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Seed:
    """What two published days left in the store and in Redis: made once, put back for each test."""

    versions: Versions
    store: Path
    cached: dict[bytes, Any]


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    """The seed, once there is one."""
    return []


@pytest.fixture
def versions(
    run: Run,
    shop: Shop,
    redis_url: str,
    seeds: list[Seed],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Versions:
    """Two published days: the version of the earlier, and the live one."""
    monkeypatch.setenv("REVERSE_ETL_RETIRE_GRACE_SECONDS", "0")
    with redis.Redis.from_url(redis_url) as client:
        if seeds:
            shutil.copytree(seeds[0].store, shop.store)
            for key, value in seeds[0].cached.items():
                client.restore(key, 0, value)
            return seeds[0].versions
        earlier, live = (
            run("run", "people", "--partition", day, "--json").document["version"]
            for day in (DAY_BEFORE, DAY)
        )
        kept = tmp_path_factory.mktemp("seed") / "store"
        shutil.copytree(shop.store, kept)
        cached: dict[bytes, Any] = {key: client.dump(key) for key in client.scan_iter(count=1000)}
    seeds.append(Seed(versions=(earlier, live), store=kept, cached=cached))
    return earlier, live


@pytest.fixture
def be_cut_off(
    shop: Shop, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], None]:
    """Takes the source and the masking key away, once all is published."""
    del versions

    def cut_off() -> None:
        monkeypatch.delenv("REVERSE_ETL_MASKING_KEY")
        shop.warehouse.unlink()

    return cut_off


def read_live(run: Run) -> dict[str, object]:
    """What readers see."""
    document = run("read", "people", "u-7", "--json").document
    return {"version": document["version"], "found": document["missing"] == []}


def test_rollback_says_from_where_to_where(
    run: Run, versions: Versions, be_cut_off: Callable[[], None]
) -> None:
    """Both versions, the generation, the block, and who is visible again; without source or key."""
    be_cut_off()

    done = run("rollback", "people")

    assert done.code == 0, done.err
    for said in (*versions, "blocked from now on", "3, in the store", "nothing was loaded"):
        assert said in done.out
    assert f"removed since '{versions[0]}' are visible again" in done.out
    assert read_live(run) == {"version": versions[0], "found": True}
    statuses = [line["status"] for line in run("versions", "people", "--json").document["versions"]]
    assert statuses == ["blocked", "live"]


def test_rollback_tells_programs_the_same(run: Run, versions: Versions) -> None:
    """One document on stdout."""
    document = run("rollback", "people", "--no-block", "--json").document

    assert document["sync"] == "people"
    assert document["outcome"] == "rolled_back"
    assert document["from"] == {"version": versions[1], "partition": DAY, "rows": USERS}
    assert document["to"] == {"version": versions[0], "partition": DAY_BEFORE, "rows": USERS}
    assert document["live"] == {"version": versions[0], "generation": 3}
    assert document["from_is_blocked"] is False
    assert document["blocked"] == []
    assert document["bytes"] == 0


def test_rollback_without_block_says_what_may_happen(run: Run, versions: Versions) -> None:
    """The next cache of the day would make it live again; whoever asked for that is told."""
    done = run("rollback", "people", "--no-block")

    assert f"'{versions[1]}' is not blocked" in done.out


def test_rollback_to_what_is_live_has_nothing_to_do(run: Run, versions: Versions) -> None:
    """It says so, and the exit code is 0."""
    done = run("rollback", "people", "--to", versions[1])

    assert done.code == 0
    assert done.out.startswith("There is nothing to do")


def test_rolled_back_version_comes_back_by_name_alone(run: Run, versions: Versions) -> None:
    """A blocked version is gone to by name, and is blocked no longer."""
    run("rollback", "people")

    done = run("rollback", "people", "--to", versions[1])

    assert done.code == 0
    assert "visible again" not in done.out
    assert read_live(run)["version"] == versions[1]
    assert run("versions", "people", "--json").document["versions"][0]["status"] == "live"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("rollback", "people", "--to", "2024-05-04.01kxqt5w8b7g4m2t"), 1, "There is no version"),
        (("rollback", "people", "--to", "tuesday"), 2, "is not a version"),
        (("rollback", "peple"), 2, "Did you mean 'people'?"),
        (("rollback", "secrets"), 1, "Nothing was ever published"),
        (
            ("verify", "people", "--version", "2024-05-04.01kxqt5w8b7g4m2t"),
            1,
            "There is no version",
        ),
        (("verify", "secrets"), 1, "was ever published"),
        (("rebuild", "secrets"), 1, "The store has no head"),
        (("warm", "s3://bucket/people/head.json"), 2, "not the address of a manifest"),
        (
            ("warm", f"people/dt={DAY}/{DAY}.01kxqt5w8b7g4m2t/manifest.json"),
            1,
            "There is no committed manifest",
        ),
    ],
)
def test_wrong_words_are_explained(
    run: Run, versions: Versions, words: tuple[str, ...], code: int, said: str
) -> None:
    """What was found and what to do; nothing is changed by it."""
    del versions
    before = read_live(run)

    done = run(*words)

    assert done.code == code
    assert said in done.err
    assert "Traceback" not in done.err
    assert read_live(run) == before


def test_errors_name_sync_and_step(
    run: Run, versions: Versions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis being away is told of the command that needed it."""
    address = f"people/dt={DAY}/{versions[1]}/manifest.json"
    monkeypatch.setenv("REVERSE_ETL_REDIS_URL", "redis://127.0.0.1:1/0")

    for words in (("rollback", "people"), ("verify", "people"), ("rebuild", "people")):
        error = run(*words, "--json").document["error"]
        assert (error["sync"], error["step"], error["kind"]) == (
            "people",
            words[0],
            "TransientError",
        )
    warmed = run("warm", address, "--json").document["error"]
    assert (warmed["sync"], warmed["partition"], warmed["step"]) == ("people", DAY, "warm")


def test_verify_of_a_whole_version_ends_with_0(run: Run, versions: Versions) -> None:
    """Objects, records and heads are counted, and nothing differs."""
    done = run("verify", "people")
    document = run("verify", "people", "--json").document

    assert done.code == 0
    assert versions[1] in done.out
    assert "whole: nothing differs" in done.out
    assert document["records"] == {"rows": USERS, "missing": 0, "different": 0}
    assert document["objects"] == {"total": 2, "missing": 0, "altered": 0}
    assert (document["heads"], document["differences"]) == ("equal", 0)


def test_verify_of_a_damaged_version_ends_with_1(
    run: Run, shop: Shop, versions: Versions, redis_url: str
) -> None:
    """Counts of what differs, in the store and in Redis, and neither key nor value of it."""
    with redis.Redis.from_url(redis_url) as client:
        client.delete(f"people:{versions[1]}:u-7")
        client.set(f"people:{versions[1]}:u-8", "other")
    done = run("verify", "people")
    assert done.code == 1
    assert "1 missing, 1 different" in done.out
    assert "u-7" not in done.out + done.err
    (shop.store / "people" / f"dt={DAY}" / versions[1] / "00001.jsonl.gz").unlink()

    document = run("verify", "people", "--json").document

    assert document["objects"]["missing"] == 1
    assert document["differences"] >= 2


def test_rebuild_of_an_emptied_redis(
    run: Run, versions: Versions, redis_url: str, be_cut_off: Callable[[], None]
) -> None:
    """Neither source nor key is needed; a second time there is nothing to do."""
    be_cut_off()
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

    first = run("rebuild", "people", "--kept")
    second = run("rebuild", "people", "--kept", "--json")

    assert first.code == second.code == 0
    assert "rebuilt" in first.out
    assert versions[0] in first.out
    assert "load: " in first.err
    assert second.document["outcome"] == "already_there"
    assert run("verify", "people").code == 0


def test_rebuild_by_force_mends_what_verify_found(
    run: Run, versions: Versions, redis_url: str
) -> None:
    """The two commands name the same damage."""
    with redis.Redis.from_url(redis_url) as client:
        client.delete(f"people:{versions[1]}:u-7")
    assert run("rebuild", "people", "--json").document["outcome"] == "already_there"

    forced = run("rebuild", "people", "--force", "--json").document

    assert (forced["outcome"], forced["rows"]) == ("rebuilt", USERS)
    assert run("verify", "people").code == 0


def test_warm_needs_an_address_and_nothing_else(
    run: Run,
    shop: Shop,
    versions: Versions,
    redis_url: str,
    be_cut_off: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Without a defs folder, source, key or configured store, another Redis is warmed."""
    be_cut_off()
    monkeypatch.setenv("REVERSE_ETL_STORE_URL", (tmp_path / "elsewhere").as_uri())
    shutil.rmtree(shop.defs)
    address = shop.store / "people" / f"dt={DAY}" / versions[1] / "manifest.json"
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()

        done = run("warm", address.as_uri(), "--json")

        assert done.code == 0, done.err
        assert client.dbsize() == USERS + 2
    assert done.document["live"] == {"version": versions[1], "generation": 2}


def test_warm_takes_a_name_in_the_configured_store(run: Run, versions: Versions) -> None:
    """What is superseded is not loaded, and that is no failure."""
    done = run(
        "warm", f"people/dt={DAY_BEFORE}/{versions[0]}/manifest.json", "--keep-versions", "3"
    )

    assert done.code == 0
    assert "superseded: a later version is live" in done.out
    assert versions[1] in done.out


def test_warm_keeps_two_versions_at_least(run: Run) -> None:
    """One version at a time would take the live one away while the next is loaded."""
    with pytest.raises(SystemExit) as caught:
        run("warm", "people/dt=x/y/manifest.json", "--keep-versions", "1")

    assert caught.value.code == 2
