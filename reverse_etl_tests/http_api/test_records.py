"""Records over HTTP: the reader's own answers, in the terms of HTTP."""

import json
from urllib.parse import quote

import pytest
import requests

from reverse_etl.model import KeyToken
from reverse_etl_tests.http_api.conftest import (
    KEYS,
    OTHER_TOKEN,
    ROWS,
    TOKEN,
    Api,
    StartApi,
)
from reverse_etl_tests.serving.builders import (
    NEW,
    NEWER,
    SYNC,
    build_head,
    encode_line,
    land,
    name_of,
    publish,
)

pytestmark = pytest.mark.contract


def test_record_is_the_bytes_that_landed(api: Api) -> None:
    """Not one byte is written anew, and the version is the answer's ETag."""
    answer = api.get(f"/v1/{SYNC}/u-3")

    assert answer.status == 200
    assert answer.body == encode_line(ROWS[3])
    assert answer.headers["etag"] == f'"{NEW}"'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "private, no-cache"
    assert "server" not in answer.headers


def test_key_is_what_the_path_encodes(api: Api) -> None:
    """Slashes, dots, newlines, NUL and any script: decoded once, and nothing of it resolved."""
    rows = [row for row in ROWS if len(row["user_id"]) < 5000]

    answers = [api.get(f"/v1/{SYNC}/{quote(row['user_id'], safe='')}") for row in rows]

    assert [(answer.status, answer.document) for answer in answers] == [(200, row) for row in rows]


def test_ordinary_clients_are_understood(api: Api) -> None:
    """A library that people use gets the same."""
    url = f"http://127.0.0.1:{api.port}/v1/{SYNC}"
    with requests.Session() as session:
        session.headers["Authorization"] = f"bearer {TOKEN}"
        one = session.get(f"{url}/u-1")
        many = session.post(f"{url}/batch", json={"keys": ["u-1", "nobody"]})

    assert one.json() == ROWS[1]
    assert many.json() == {"version": NEW, "records": [ROWS[1], None]}


def test_absent_record_is_told_without_its_key(api: Api) -> None:
    """404, a problem document, and nothing of the key in it."""
    answer = api.get(f"/v1/{SYNC}/nobody-canary")

    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.document["detail"] == "The live version has no such record."
    assert b"canary" not in answer.body
    assert "etag" not in answer.headers


def test_batch_is_in_order_and_of_one_version(api: Api) -> None:
    """Every key in its place, null where there is none, twice where it was asked twice."""
    answer = api.batch([*KEYS, "nobody", KEYS[0]])

    assert answer.document == {"version": NEW, "records": [*ROWS, None, ROWS[0]]}
    assert answer.headers["cache-control"] == "no-store"


def test_integers_are_keys_too(api: Api) -> None:
    """An integer is found by its digits, as in the record."""
    assert api.batch([0, "0", -1]).document["records"] == [
        ROWS[KEYS.index("0")],
        ROWS[KEYS.index("0")],
        ROWS[KEYS.index("-1")],
    ]


def test_client_that_holds_the_version_is_told_so(api: Api) -> None:
    """304 as long as the version is the same, and the new record after it has moved on."""
    held = api.get(f"/v1/{SYNC}/u-3").headers["etag"]

    assert api.get(f"/v1/{SYNC}/u-3", If_None_Match=held).status == 304
    assert api.get(f"/v1/{SYNC}/u-3", If_None_Match=f'"x", W/{held}').status == 304
    assert api.get(f"/v1/{SYNC}/nobody", If_None_Match=held).status == 404

    head = build_head(NEWER, generation=2)
    land(api.store, head, [{"user_id": "u-3", "points": -1}])
    publish(head, store=api.store, client=api.client)
    answer = api.get(f"/v1/{SYNC}/u-3", If_None_Match=held)
    assert (answer.status, answer.document["points"]) == (200, -1)


def test_personal_keys_are_asked_for_by_post_alone(api: Api) -> None:
    """Paths end in logs of proxies: a sync whose key is masked has no path for it."""
    token = KeyToken(key_id="k1", domain=f"sync:{SYNC}")
    publish(build_head(NEW, generation=2, key_token=token), store=api.store, client=api.client)

    refused = api.get(f"/v1/{SYNC}/u-3")
    answered = api.batch(["u-3"])

    assert refused.status == 405
    assert refused.headers["allow"] == "POST"
    assert f"POST /v1/{SYNC}/batch" in refused.document["detail"]
    assert answered.document["records"] == [ROWS[3]]


def test_head_that_does_not_say_what_its_keys_are_has_no_paths(api: Api) -> None:
    """One of before heads named policies may be of a sync whose keys are personal."""
    publish(
        build_head(NEW, generation=2, policy_fingerprint=""), store=api.store, client=api.client
    )

    assert api.get(f"/v1/{SYNC}/u-3").status == 405
    assert api.batch(["u-3"]).status == 200


def test_miss_is_read_from_the_store(api: Api) -> None:
    """Redis emptied: the same answer, from one object."""
    api.client.delete(f"{SYNC}:{NEW}:u-3")

    answer = api.get(f"/v1/{SYNC}/u-3")

    assert answer.document == ROWS[3]
    assert len(api.store.asked_objects) == 1


def test_missing_object_is_no_missing_user(api: Api) -> None:
    """502, never 404: nobody knows whether the user exists."""
    api.client.flushall()
    publish(build_head(NEW), client=api.client)
    api.store.delete([name_of(build_head(NEW), "u-3")])

    answer = api.get(f"/v1/{SYNC}/u-3")

    assert answer.status == 502
    assert "cannot be told" in answer.document["detail"]
    assert name_of(build_head(NEW), "u-3").encode() not in answer.body


def test_sync_that_was_never_published_is_not_ready(start_api: StartApi) -> None:
    """503 with a time to ask again; the process itself is well."""
    api = start_api()

    assert api.get(f"/v1/{SYNC}/u-3").status == 503
    assert api.get(f"/v1/{SYNC}/u-3").headers["retry-after"]
    assert api.get("/readyz").status == 503
    assert api.get("/readyz").document == {"ready": False, "versions": {SYNC: None}}
    assert api.ask("GET", "/readyz", headers={}).document == {"ready": False}
    assert api.get("/healthz").status == 200


def test_ready_names_the_version(api: Api) -> None:
    """Which version is read, for whoever watches."""
    assert api.get("/readyz").document == {"ready": True, "versions": {SYNC: NEW}}
    other = {"Authorization": f"Bearer {OTHER_TOKEN}"}
    assert api.ask("GET", "/readyz", headers=other).document == {"ready": True, "versions": {}}
    assert api.ask("GET", "/readyz", headers={}).document == {"ready": True}
    assert api.ask("GET", "/metrics", headers={}).status == 401


def test_metrics_count_what_happened_and_hold_no_key(api: Api) -> None:
    """Hits, absences and statuses by sync and route."""
    for path in ("u-3", "u-4", "nobody-canary"):
        api.get(f"/v1/{SYNC}/{path}")

    told = api.get("/metrics").body.decode()

    assert f'reverse_etl_reader_events_total{{event="hit",sync="{SYNC}"}} 2.0' in told
    assert 'reverse_etl_http_requests_total{route="/v1/{sync}/{key:key}",status="404"} 1.0' in told
    assert f'reverse_etl_reader_seconds_count{{event="read",sync="{SYNC}"}} 3.0' in told
    assert "canary" not in told
    assert "u-3" not in told


def test_document_describes_every_route(api: Api) -> None:
    """OpenAPI for programs, a page for people that loads nothing from elsewhere."""
    document = api.get("/openapi.json").document
    page = api.get("/")

    for path, operations in document["paths"].items():
        for method in operations:
            asked = path.replace("{sync}", SYNC).replace("{key}", "u-3")
            body = json.dumps({"keys": []}).encode() if method == "post" else None
            assert api.ask(method.upper(), asked, body=body).status == 200
            assert path in page.body.decode()
    assert document["paths"]["/v1/{sync}/batch"]["post"]["security"] == [{"token": []}]
    assert b"http" not in page.body.replace(b"<!doctype html>", b"").replace(b"HTTP", b"")
    assert "default-src 'none'" in page.headers["content-security-policy"]
