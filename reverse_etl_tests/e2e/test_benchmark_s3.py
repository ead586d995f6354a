"""The benchmark of landing on S3 runs to its table, on few users."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import s3


@pytest.mark.e2e
def test_landing_is_measured_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both proofs, the usual way beside them, and what the server counted."""
    monkeypatch.setattr(s3, "_USUAL_USERS", 200)
    console = Console(file=io.StringIO(), width=200)

    result = s3.run(tmp_path, s3.Plan(users=(1_000,), rounds=1), console)
    s3.print_result(console, result)

    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert [landing["proof"] for landing in result["landings"]] == ["checksum", "read_back"]
    assert {landing["rows"] for landing in result["landings"]} == {1_000}
    assert [bound["without"] for bound in result["bounds"]] == [None, "put", "put_and_encode"]
    puts = [bound["counts"]["operations"]["PutObject"] for bound in result["bounds"]]
    assert puts[0] > puts[1] == puts[2]
    assert "json, left out: put and encode" in shown
    assert "json, read_back" in shown
    assert "an object a user, boto3" in shown
    assert "PUTs for each 256 users" in shown
