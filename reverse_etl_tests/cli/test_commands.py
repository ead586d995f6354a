"""The commands at work, on a real DuckDB file, directory and Redis."""

import json

import pytest

from reverse_etl_tests.cli.conftest import DAY, USERS, Run, Shop


def test_run_carries_a_day(run: Run) -> None:
    """One command goes all the way, and says what each step did and where it lies."""
    done = run("run", "people", "--partition", DAY)

    assert done.code == 0
    for word in ("extract", "masked", "cache", "300", "pinned", "committed", "live", "file://"):
        assert word in done.out
    assert f"people {DAY}, run cli-" in done.err


def test_run_tells_programs_the_same(run: Run) -> None:
    """With --json stdout is one document; progress stays on stderr."""
    done = run("run", "people", "--partition", DAY, "--json")

    document = done.document
    assert done.code == 0
    assert document["sync"] == "people"
    assert document["partition"] == DAY
    assert document["live"] == {"version": document["version"], "generation": 1}
    assert [step["step"] for step in document["steps"]] == ["extract", "masked", "cache"]
    assert [step["rows"] for step in document["steps"]] == [USERS, USERS, USERS]
    assert [step["outcome"] for step in document["steps"]] == ["pinned", "committed", "live"]


def test_older_day_is_superseded(run: Run) -> None:
    """A day before the live one is landed, not loaded, and that is no failure."""
    run("run", "people", "--partition", DAY)

    done = run("run", "people", "--partition", "2024-05-02")

    assert done.code == 0
    assert "superseded: a later day is live" in done.out


def test_read_prints_records_as_they_were_landed(run: Run) -> None:
    """One JSON record a line, in the order asked for."""
    run("run", "people", "--partition", DAY)

    done = run("read", "people", "u-7", "u-3")

    assert done.code == 0
    assert done.out.splitlines() == [
        '{"user_id":"u-7","full_name":"[redacted]","points":7}',
        '{"user_id":"u-3","full_name":"[redacted]","points":3}',
    ]


def test_read_names_missing_keys_by_position(run: Run) -> None:
    """Who is not there is told by position, so that no key stands in a log; exit code 1."""
    run("run", "people", "--partition", DAY)

    done = run("read", "people", "u-7", "someone", "u-3", "somebody")

    assert done.code == 1
    assert len(done.out.splitlines()) == 2
    assert "key 2, 4 of 4" in done.err
    assert "someone" not in done.err


def test_read_splices_records_into_a_document(run: Run) -> None:
    """With --json the records stand in one document, null where there is none."""
    run("run", "people", "--partition", DAY)

    done = run("read", "people", "someone", "u-3", "--json")

    assert done.code == 1
    assert done.document["missing"] == [1]
    assert done.document["records"][0] is None
    assert done.document["records"][1] == {"user_id": "u-3", "full_name": "[redacted]", "points": 3}


def test_read_hashes_the_raw_key(run: Run) -> None:
    """A person asks with the key they know; the token is computed as the warehouse's was."""
    run("run", "secrets", "--partition", DAY)

    done = run("read", "secrets", "u-7")

    assert done.code == 0
    record = json.loads(done.out)
    assert record["points"] == 7
    assert record["user_id"].startswith("t1.")


def test_read_takes_tokens_without_a_masking_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has the token needs no key to look it up."""
    run("run", "secrets", "--partition", DAY)
    token = json.loads(run("read", "secrets", "u-7").out)["user_id"]
    monkeypatch.delenv("REVERSE_ETL_MASKING_KEY")

    done = run("read", "secrets", "--masked", token)

    assert done.code == 0
    assert json.loads(done.out)["points"] == 7


@pytest.mark.parametrize("url", [None, "redis://127.0.0.1:1/0"])
def test_read_goes_on_without_redis(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str | None
) -> None:
    """The store answers when Redis is away, or when none is configured."""
    run("run", "people", "--partition", DAY)
    monkeypatch.delenv("REVERSE_ETL_REDIS_URL")
    if url is not None:
        monkeypatch.setenv("REVERSE_ETL_REDIS_URL", url)

    done = run("read", "people", "u-7")

    assert done.code == 0
    assert json.loads(done.out)["points"] == 7


def test_versions_lists_what_readers_could_see(run: Run) -> None:
    """Every committed version stands there with its status."""
    run("run", "people", "--partition", "2024-05-05")
    run("run", "people", "--partition", DAY)
    run("run", "people", "--partition", "2024-05-02")

    done = run("versions", "people")
    document = run("versions", "people", "--json").document

    assert done.code == 0
    assert [line["partition"] for line in document["versions"]] == [DAY, "2024-05-05", "2024-05-02"]
    assert [line["status"] for line in document["versions"]] == ["live", "in Redis", "landed"]
    for line in document["versions"]:
        assert line["version"] in done.out


def test_versions_of_a_sync_that_never_ran(run: Run) -> None:
    """Nothing yet is an answer, not an error."""
    done = run("versions", "people")

    assert done.code == 0
    assert done.out == "Sync 'people' has no committed version yet.\n"


def test_syncs_lists_what_is_declared(run: Run) -> None:
    """Names, keys and rules, without asking anything outside."""
    done = run("syncs")
    document = run("syncs", "--json").document

    assert done.code == 0
    assert "people" in done.out
    assert [sync["name"] for sync in document["syncs"]] == ["people", "secrets"]
    assert [sync["rule"] for sync in document["syncs"]] == ["keep", "hmac"]


def test_empty_folder_has_no_syncs(run: Run, shop: Shop) -> None:
    """A folder without syncs says so."""
    done = run("--defs", str(shop.store.parent / "scratch"), "syncs")

    assert done.code == 2
    assert "is not a folder" in done.err


def test_nothing_printed_holds_a_masked_value(run: Run) -> None:
    """Whatever a command says, a value of a masked column is not in it."""
    spoken = [
        run("run", "people", "--partition", DAY),
        run("read", "people", "u-7", "u-8", "nobody"),
        run("versions", "people", "--json"),
        run("doctor"),
    ]

    assert not any("Canary" in said.out + said.err for said in spoken)
