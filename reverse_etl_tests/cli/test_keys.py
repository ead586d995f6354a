"""Masking keys at the command line: found by what a version says, through a rotation and after it."""

import json

import pytest

from reverse_etl.masking.keys import generate_masking_key, parse_masking_key
from reverse_etl_tests.cli.conftest import DAY, Run, Shop

BEFORE = "2024-05-05"
K1, K2 = (generate_masking_key(key_id) for key_id in ("k1", "k2"))


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The key's variable can be set; the first key makes the tokens."""
    monkeypatch.setenv("REVERSE_ETL_MASKING_KEY", K1)
    return monkeypatch


def use(keys: pytest.MonkeyPatch, *ring: str) -> None:
    keys.setenv("REVERSE_ETL_MASKING_KEY", "\n".join(ring))


def find_points(run: Run) -> int:
    """Read one user by the raw key."""
    done = run("read", "secrets", "u-7")
    assert done.code == 0, done.err
    points: int = json.loads(done.out)["points"]
    return points


def test_users_are_found_through_a_whole_rotation(run: Run, keys: pytest.MonkeyPatch) -> None:
    """Readers get the new key first; after the flip both rings find everybody; then the old one goes."""
    run("run", "secrets", "--partition", BEFORE)

    use(keys, K1, K2)
    assert find_points(run) == 7
    use(keys, K2, K1)
    assert find_points(run) == 7
    assert run("run", "secrets", "--partition", DAY).code == 0
    assert find_points(run) == 7
    use(keys, K1, K2)
    assert find_points(run) == 7

    shown = run("versions", "secrets", "--json").document["versions"]
    assert [(line["key_id"], line["status"]) for line in shown] == [
        ("k2", "live"),
        ("k1", "in Redis"),
    ]
    use(keys, K2)
    assert find_points(run) == 7


def test_missing_key_is_named(run: Run, keys: pytest.MonkeyPatch) -> None:
    """A reader that was forgotten is told which key the version needs; nobody is just not found."""
    use(keys, K2)
    run("run", "secrets", "--partition", DAY)
    use(keys, K1)

    done = run("read", "secrets", "u-7")

    assert done.code == 2
    assert "made with masking key 'k2', which is not configured here; these are: 'k1'" in done.err
    assert "u-7" not in done.err


def test_no_key_at_all_is_told(run: Run, keys: pytest.MonkeyPatch) -> None:
    """What to set, or how to do without."""
    run("run", "secrets", "--partition", DAY)
    keys.delenv("REVERSE_ETL_MASKING_KEY")

    done = run("read", "secrets", "u-7")

    assert done.code == 2
    assert "REVERSE_ETL_MASKING_KEY_SECRET" in done.err
    assert "--masked" in done.err


def test_versions_show_key_and_policy(run: Run, keys: pytest.MonkeyPatch) -> None:
    """Which key a version needs says whether an old one can go; syncs without a token need none."""
    assert keys
    run("run", "secrets", "--partition", DAY)
    run("run", "people", "--partition", DAY)

    (secret,) = run("versions", "secrets", "--json").document["versions"]
    (plain,) = run("versions", "people", "--json").document["versions"]
    table = run("versions", "secrets").out

    assert secret["key_id"] == "k1"
    assert secret["key_fingerprint"] == parse_masking_key(K1).fingerprint
    assert len(secret["policy_fingerprint"]) == 64
    assert (plain["key_id"], plain["key_fingerprint"]) == (None, None)
    assert "masking key" in table.splitlines()[0]
    assert "  k1  " in table.splitlines()[2]


def test_required_policy_lets_its_version_through(run: Run, keys: pytest.MonkeyPatch) -> None:
    """And no other, whoever published it."""
    run("run", "secrets", "--partition", BEFORE)
    (line,) = run("versions", "secrets", "--json").document["versions"]
    required = ("--require-policy", line["policy_fingerprint"])
    assert run("read", "secrets", "u-7", *required).code == 0

    use(keys, K2, K1)
    run("run", "secrets", "--partition", DAY)
    done = run("read", "secrets", "u-7", *required)

    assert done.code == 2
    assert done.out == ""
    assert f"required is {line['policy_fingerprint']}" in done.err


def test_fingerprint_has_to_be_whole(run: Run) -> None:
    """A prefix would be a weaker promise than it looks."""
    done = run("read", "people", "u-7", "--require-policy", "823412d1")

    assert done.code == 2
    assert "takes the whole fingerprint" in done.err


def test_head_of_an_earlier_release_falls_back_to_the_rule(
    run: Run, shop: Shop, keys: pytest.MonkeyPatch
) -> None:
    """It says neither key nor policy: the sync's rule and the current key are tried."""
    run("run", "secrets", "--partition", DAY)
    keys.delenv("REVERSE_ETL_REDIS_URL")
    path = shop.store / "secrets" / "head.json"
    head = json.loads(path.read_text())
    path.write_text(
        json.dumps({k: v for k, v in head.items() if k not in ("key_token", "policy_fingerprint")})
    )

    assert find_points(run) == 7
    done = run("read", "secrets", "u-7", "--require-policy", "0" * 64)

    assert done.code == 2
    assert "does not name (an earlier release)" in done.err


def test_doctor_shows_what_can_be_written_down(run: Run, keys: pytest.MonkeyPatch) -> None:
    """Id and fingerprint of each key, and nothing else of it."""
    use(keys, K2, K1)

    done = run("doctor", "--json")

    (message,) = [
        step["message"] for step in done.document["steps"] if step["step"] == "masking key"
    ]
    one, two = parse_masking_key(K1).fingerprint, parse_masking_key(K2).fingerprint
    assert message == f"key 'k2', fingerprint {two}; previous key 'k1', fingerprint {one}"
    assert K1[3:] not in done.out + done.err


def test_key_of_another_environment_stops_doctor_and_run(
    run: Run, keys: pytest.MonkeyPatch
) -> None:
    """Before anything is masked with it; a sync without tokens does not mind."""
    fingerprint = parse_masking_key(K1).fingerprint
    keys.setenv("REVERSE_ETL_REFUSED_KEY_FINGERPRINTS", f"prod={fingerprint}")

    doctor = run("doctor", "--json")
    done = run("run", "secrets", "--partition", DAY)

    assert doctor.code == 1
    assert f"(fingerprint {fingerprint}) is the one of environment 'prod'" in doctor.out
    assert done.code == 2
    assert "Masking key 'k1'" in done.err
    assert run("versions", "secrets", "--json").document["versions"] == []
