"""A token becomes a session: the real google-auth and boto3, an STS that is as strict as AWS says it is."""

import contextlib
import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import botocore.session
import pytest
from botocore.exceptions import ClientError

from reverse_etl.auth.clock import SYSTEM_CLOCK, Clock
from reverse_etl.auth.google import fetch_id_token
from reverse_etl.auth.id_token import read_id_token
from reverse_etl.auth.options import GoogleOidc
from reverse_etl.auth.sts import _CONFIG, _read_date, exchange_token
from reverse_etl.auth.sts_refusals import map_refusal, read_refusal
from reverse_etl.errors import ConfigError, ReverseEtlError, TransientError
from reverse_etl.model import AwsCredentials
from reverse_etl_tests.auth.checking import catch
from reverse_etl_tests.auth.clocks import NOON, make_wrong_clock
from reverse_etl_tests.identity.bad_tokens import BAD_TOKENS, DENIED, EXPIRED, BadToken
from reverse_etl_tests.identity.fixtures import ROLE_ARN, Scene, open_scene
from reverse_etl_tests.identity.issuer import OidcIssuer
from reverse_etl_tests.identity.loopback import HttpAnswer, HttpRequest, LoopbackServer
from reverse_etl_tests.identity.pointing import pointed_at
from reverse_etl_tests.identity.roles import Role

SECOND = dt.timedelta(seconds=1)

#: Decoding verifies nothing: only what cannot be read at all never reaches AWS.
UNREADABLE = {"no_expiry", "expiry_is_infinite", "access_token", "garbage", "dots"}


def exchange(options: GoogleOidc, clock: Clock = SYSTEM_CLOCK) -> AwsCredentials:
    return exchange_token(fetch_id_token(options), options, clock=clock)


def refuse(scene: Scene, **changes: object) -> ReverseEtlError:
    return catch(lambda: exchange(scene.options(**changes)))


def map_answer(code: str, status: int) -> ReverseEtlError:
    """Our error for an answer of this code and status."""
    said = {"Code": code, "Message": "canary-7f3a"}
    error = ClientError(
        {"Error": said, "ResponseMetadata": {"HTTPStatusCode": status}}, "AssumeRoleWithWebIdentity"
    )
    token = read_id_token(OidcIssuer().token("https://aws.example.com"))
    options = GoogleOidc(
        role_arn=ROLE_ARN, audience="a", region="eu-central-1", session_name="reverse-etl-test"
    )
    return map_refusal(read_refusal(error, token, options))


def use_role(scene: Scene, role: Role) -> None:
    scene.sts.roles[role.arn] = role


def test_a_token_becomes_a_session_of_the_role(scene: Scene) -> None:
    """One unsigned call, with the name and length that were asked for."""
    credentials = exchange(scene.options(session_seconds=1800))

    (call,) = scene.sts.calls
    (session,) = scene.sessions.sessions
    assert credentials.access_key_id == session.access_key_id
    assert credentials.secret_access_key == session.secret_access_key
    assert credentials.session_token == session.session_token
    assert not call.signed
    assert (call.session_name, call.duration_seconds) == ("reverse-etl-test", 1800)
    assert session.expires_at is not None
    assert credentials.expires_at is not None
    assert session.expires_at - SECOND <= credentials.expires_at <= session.expires_at + SECOND
    assert credentials.expires_at.tzinfo is dt.UTC


def test_the_session_comes_over_tls(tls_scene: Scene) -> None:
    """From an authority that a file names."""
    assert exchange(tls_scene.options()).access_key_id.startswith("ASIA")


def test_an_authority_that_is_not_trusted_ends_it(tls_scene: Scene) -> None:
    """No token is shown to whoever happens to answer."""
    error = refuse(tls_scene, ca_file=None)

    assert isinstance(error, ConfigError)
    assert "No trusted TLS connection" in error.message
    assert tls_scene.sts.calls == ()


def test_a_file_that_is_no_certificate_ends_it(tls_scene: Scene, tmp_path: Path) -> None:
    """And says which variable names it."""
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")

    error = refuse(tls_scene, ca_file=path)

    assert isinstance(error, ConfigError)
    assert "REVERSE_ETL_S3_CA_FILE" in error.message


@pytest.mark.parametrize("bad", BAD_TOKENS, ids=lambda bad: bad.name)
def test_a_bad_token_is_refused_and_not_shown(scene: Scene, bad: BadToken) -> None:
    """The message says who refused and what the token says of itself; the token is nowhere."""
    tokens = []

    def make(claims: dict[str, object]) -> str:
        tokens.append(bad.make(scene.issuer, claims))
        return tokens[-1]

    scene.metadata.make_token = make

    error = refuse(scene)

    assert tokens[0] not in error.message
    assert scene.issuer.email not in error.message
    for part in tokens[0].split("."):
        assert len(part) < 8 or part not in error.message
    assert scene.sessions.sessions == ()
    if scene.sts.calls:
        told = {DENIED: "AccessDenied", EXPIRED: "ExpiredToken"}.get(bad.code, bad.code)
        assert f"({told})" in error.message
        assert "Google's token says: sub " in error.message
        assert all(f" {name} " in error.message for name in ("azp", "aud", "iss", "exp"))
    else:
        assert bad.name in UNREADABLE
        assert "identity token" in error.message


@pytest.mark.parametrize(
    ("key", "changes"),
    [
        ("sub", {"sub": "104857600000000000009"}),
        ("oaud", {"oaud": "https://aws.example.com/another"}),
        ("aud", {"aud": "export@test-project.iam.gserviceaccount.com"}),
    ],
)
def test_a_denial_says_what_the_policy_has_to_pin(
    scene: Scene, key: str, changes: dict[str, str]
) -> None:
    """All three keys, with the values of this very token."""
    use_role(scene, replace(scene.role, **changes))
    options = scene.options()

    error = catch(lambda: exchange(options))

    pinned = {
        "sub": scene.issuer.unique_id,
        "oaud": options.audience,
        "aud": scene.issuer.unique_id,
    }
    assert isinstance(error, ConfigError)
    assert f"accounts.google.com:{key} '{pinned[key]}'" in error.message or key == "aud"
    assert f"accounts.google.com:aud, if it is there at all, '{pinned['aud']}'" in error.message
    assert ROLE_ARN in error.message
    assert "Principal.Federated" in error.message


def test_a_role_that_does_not_exist_is_a_denial(scene: Scene) -> None:
    """AWS does not tell which, and nor do we."""
    error = refuse(scene, role_arn="arn:aws:iam::123456789012:role/nobody")

    assert isinstance(error, ConfigError)
    assert "role/nobody' does not exist, or its trust policy" in error.message


def test_a_session_longer_than_the_roles_is_refused(scene: Scene) -> None:
    """What was asked for, and the two ways out."""
    error = refuse(scene, session_seconds=7200)

    assert isinstance(error, ConfigError)
    assert "a session of 7200 seconds is longer" in error.message
    assert "REVERSE_ETL_AWS_SESSION_SECONDS" in error.message


@pytest.mark.parametrize(
    ("status", "code", "kind", "told"),
    [
        (403, "RegionDisabledException", ConfigError, "not activated in region 'eu-central-1'"),
        (400, "PackedPolicyTooLarge", ConfigError, "too large together"),
        (403, "IDPRejectedClaim", ConfigError, "still enabled"),
        (400, "ValidationError", ConfigError, "as malformed"),
        (400, "ExpiredTokenException", TransientError, "fetched just now"),
        (400, "IDPCommunicationError", TransientError, "could not reach Google"),
        (400, "Throttling", TransientError, "(Throttling, HTTP 400)"),
        (503, "ServiceUnavailable", TransientError, "(ServiceUnavailable, HTTP 503)"),
        (500, "<b>", TransientError, "(HTTP 500)"),
        (429, "", TransientError, "(HTTP 429)"),
        (400, "Strange", ConfigError, "(Strange, HTTP 400)"),
    ],
)
def test_refusals_of_sts_are_told_apart(
    status: int, code: str, kind: type[ReverseEtlError], told: str
) -> None:
    """What a person has to fix, and what may pass; AWS' own text is not repeated."""
    error = map_answer(code, status)

    assert type(error) is kind
    assert told in error.message
    assert "canary-7f3a" not in error.message


@pytest.mark.parametrize(
    ("status", "code", "exchanges"),
    [(403, "RegionDisabledException", 1), (400, "IDPCommunicationError", 3), (503, "Busy", 3)],
)
@pytest.mark.usefixtures("quick_retries")
def test_what_may_pass_is_asked_three_times(
    scene: Scene, status: int, code: str, exchanges: int
) -> None:
    """By botocore itself, before anybody is told; a refusal is final."""
    scene.sts.faults.fail(status, code, message="canary-7f3a", times=None)

    error = refuse(scene)

    assert isinstance(error, ConfigError if exchanges == 1 else TransientError)
    assert "canary-7f3a" not in error.message
    assert scene.sts.exchanges == exchanges


def test_a_key_that_aws_could_not_get_may_come(scene: Scene) -> None:
    """AWS says InvalidIdentityToken for that too, and it passes."""
    message = "Couldn't retrieve verification key from your identity provider"
    scene.sts.faults.fail(400, "InvalidIdentityToken", message=message, times=None)

    assert isinstance(refuse(scene), TransientError)


def test_every_error_of_the_model_has_words_of_its_own() -> None:
    """STS' own list of what this call may raise: none ends in the general sentence."""
    model = botocore.session.Session().get_service_model("sts")
    errors = model.operation_model("AssumeRoleWithWebIdentity").error_shapes

    general = [
        shape.error_code
        for shape in errors
        if "refused to give a session" in map_answer(shape.error_code, 400).message
    ]

    # No policy is sent along that could be malformed.
    assert general == ["MalformedPolicyDocument"]


@pytest.mark.parametrize("plan", ["lose_answer", "drop"])
def test_a_lost_answer_is_asked_for_again(scene: Scene, plan: str) -> None:
    """The session that AWS gave meanwhile is nobody's, and ends by itself."""
    getattr(scene.sts.faults, plan)()

    credentials = exchange(scene.options())

    assert scene.sts.exchanges == 2
    assert credentials.access_key_id == scene.sessions.sessions[-1].access_key_id


@pytest.mark.parametrize(("plan", "exchanges"), [("lose_answer", 3), ("drop", 3), ("garble", 1)])
def test_answers_that_are_always_lost_may_pass(scene: Scene, plan: str, exchanges: int) -> None:
    """Three times (botocore does not repeat what it cannot read), and then it is for the next run."""
    getattr(scene.sts.faults, plan)(times=None)

    assert isinstance(refuse(scene), TransientError)
    assert scene.sts.exchanges == exchanges


def test_an_sts_that_is_not_there_may_come(scene: Scene) -> None:
    """The address is named, and its variable."""
    scene.sts.close()

    error = refuse(scene)

    assert isinstance(error, TransientError)
    assert scene.sts.url in error.message
    assert "REVERSE_ETL_STS_ENDPOINT_URL" in error.message


def serve(answer: Callable[[HttpRequest], HttpAnswer]) -> contextlib.closing[LoopbackServer]:
    return contextlib.closing(LoopbackServer("no STS", answer))


@pytest.mark.parametrize(
    ("page", "told"),
    [
        ("<Hello><World/></Hello>", "did not answer as it should"),
        ("<A><AssumeRoleWithWebIdentityResult/></A>", "gave no session"),
    ],
)
def test_what_answers_without_a_session_is_no_sts(scene: Scene, page: str, told: str) -> None:
    """A page of well-formed XML from somebody else."""
    with serve(lambda _request: HttpAnswer(content=page.encode())) as server:
        error = refuse(scene, endpoint_url=server.url)

    assert isinstance(error, TransientError)
    assert told in error.message


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"date": "Thu, 19 Nov 2026 12:00:00 GMT"}, NOON),
        ({"date": "Thu, 19 Nov 2026 13:00:00 +0100"}, NOON),
        ({"date": "Thu, 19 Nov 2026 12:00:00 -0000"}, None),
        ({"date": "soon"}, None),
        ({}, None),
    ],
)
def test_a_server_may_not_say_the_time(headers: dict[str, str], told: dt.datetime | None) -> None:
    """Then our own clock has to do."""
    assert _read_date({"ResponseMetadata": {"HTTPHeaders": headers}}) == told


def test_an_error_without_words_may_pass(scene: Scene) -> None:
    """An empty answer is none of STS."""
    with serve(lambda _request: HttpAnswer(content=b"", status=403)) as server:
        error = refuse(scene, endpoint_url=server.url)

    assert isinstance(error, TransientError)
    assert "ResponseParserError" in error.message


def test_debug_logs_hold_neither_token_nor_keys(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    """Botocore would log all of it."""
    tokens = []

    def make(claims: dict[str, object]) -> str:
        tokens.append(scene.issuer.sign(claims))
        return tokens[-1]

    scene.metadata.make_token = make

    with caplog.at_level(logging.DEBUG):
        credentials = exchange(scene.options())

    shown = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert caplog.records
    assert tokens[0].split(".")[2] not in shown
    assert credentials.secret_access_key not in shown
    assert str(credentials.session_token) not in shown


@pytest.mark.parametrize("ahead", [-300, 0, 300])
def test_the_end_is_told_by_this_machines_clock(ahead: int) -> None:
    """Five minutes off either way: an hour from now is an hour from now, and never later."""
    clock = make_wrong_clock(ahead)
    with open_scene() as scene, pointed_at(scene.metadata):
        before = clock.now()
        credentials = exchange(scene.options(), clock)

    assert credentials.expires_at is not None
    left = credentials.expires_at - before
    assert dt.timedelta(seconds=3597) <= left <= dt.timedelta(seconds=3600) + SECOND


@pytest.mark.parametrize("ahead", [-300, 0, 300])
def test_a_session_that_is_shorter_than_asked_is_known_to_be(ahead: int) -> None:
    """STS' clock is in its answer: its Expiration is read by that, not by ours."""
    clock = make_wrong_clock(ahead)
    with (
        open_scene(session_seconds_override=1000) as scene,
        pointed_at(scene.metadata),
    ):
        before = clock.now()
        credentials = exchange(scene.options(), clock)
        took = clock.now() - before

    assert credentials.expires_at is not None
    left = credentials.expires_at - before
    assert dt.timedelta(seconds=998) - took <= left <= dt.timedelta(seconds=1000) + took


def test_an_end_beyond_what_was_asked_is_not_believed(scene: Scene) -> None:
    """Whatever a server says: an hour was asked for, and an hour it is at the most."""
    session = (
        "<AssumeRoleWithWebIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'>"
        "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAX</AccessKeyId>"
        "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
        "<Expiration>2036-01-01T00:00:00Z</Expiration></Credentials>"
        "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )
    before = SYSTEM_CLOCK.now()

    with serve(lambda _request: HttpAnswer(content=session.encode())) as server:
        credentials = exchange(scene.options(endpoint_url=server.url))

    assert credentials.expires_at is not None
    assert credentials.expires_at <= SYSTEM_CLOCK.now() + dt.timedelta(hours=1)
    assert credentials.expires_at >= before + dt.timedelta(hours=1)


def test_nobody_waits_long_for_an_sts_that_is_silent() -> None:
    """Botocore's own timeouts would hold a cold start up for minutes."""
    attempts = _CONFIG.retries["total_max_attempts"]

    assert attempts == 3
    assert attempts * (_CONFIG.connect_timeout + _CONFIG.read_timeout) <= 24
