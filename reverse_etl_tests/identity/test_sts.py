"""STS gives sessions to whom a role trusts, and refuses everybody else as AWS does."""

import contextlib
import datetime as dt
import functools
import re
import ssl
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from reverse_etl_tests.identity.bad_tokens import BAD_TOKENS, BadToken
from reverse_etl_tests.identity.fixtures import AUDIENCE, REGION, ROLE_ARN, Scene, open_scene
from reverse_etl_tests.identity.issuer import OidcIssuer
from reverse_etl_tests.identity.roles import Role
from reverse_etl_tests.identity.sessions import Session, SessionBook
from reverse_etl_tests.identity.sts import StsServer
from reverse_etl_tests.identity.sts_xml import NAMESPACE

NAME = "dagster-test-1a2b3c4d"
NS = {"sts": NAMESPACE}
DENIED = "Not authorized to perform sts:AssumeRoleWithWebIdentity"


@functools.cache
def aws() -> boto3.Session:
    """Loads AWS' descriptions once; no client takes anything else from it."""
    return boto3.Session()


@contextlib.contextmanager
def sts_client(scene: Scene, session: Session | None = None) -> Iterator[Any]:
    """boto3, unsigned, or signing with a session's keys; closed at the end."""
    keys = {}
    if session is not None:
        keys = {
            "aws_access_key_id": session.access_key_id,
            "aws_secret_access_key": session.secret_access_key,
            "aws_session_token": session.session_token,
        }
    client = aws().client(
        "sts",
        region_name=REGION,
        endpoint_url=scene.sts.url,
        verify=str(scene.tls.ca_file) if scene.tls else None,
        config=Config(
            signature_version=None if session else UNSIGNED, retries={"total_max_attempts": 1}
        ),
        **keys,
    )
    with contextlib.closing(client):
        yield client


def exchange(scene: Scene, **changes: Any) -> dict[str, Any]:
    """Bring a good token for the scene's role, with the call's fields changed."""
    asked = {
        "RoleArn": scene.role.arn,
        "RoleSessionName": NAME,
        "WebIdentityToken": scene.issuer.token(AUDIENCE, scene.clock()),
    }
    with sts_client(scene) as client:
        answer: dict[str, Any] = client.assume_role_with_web_identity(**(asked | changes))
    return answer


def refusal(scene: Scene, **changes: Any) -> tuple[int, str, str]:
    """Status, code and message with which the exchange is refused."""
    with pytest.raises(ClientError) as caught:
        exchange(scene, **changes)
    answer = caught.value.response
    return (
        answer["ResponseMetadata"]["HTTPStatusCode"],
        answer["Error"]["Code"],
        answer["Error"]["Message"],
    )


def post(scene: Scene, **form: str) -> requests.Response:
    return requests.post(scene.sts.url, data=form, timeout=5)


def post_token(scene: Scene, **changes: str) -> requests.Response:
    """Bring a good token without a client of AWS', with the form's fields changed."""
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": scene.role.arn,
        "RoleSessionName": NAME,
        "WebIdentityToken": scene.issuer.token(AUDIENCE),
    }
    return post(scene, **(form | changes))


def test_a_good_token_is_exchanged_for_a_session(scene: Scene) -> None:
    """The answer is complete, and its keys are those that the session book holds."""
    answer = exchange(scene)

    given = answer["Credentials"]
    session = scene.sessions.find(given["AccessKeyId"])
    assert session is not None
    assert session.secret_access_key == given["SecretAccessKey"]
    assert session.session_token == given["SessionToken"]
    assert session.expires_at == given["Expiration"]
    assert (session.role_arn, session.session_name) == (ROLE_ARN, NAME)
    assert answer["SubjectFromWebIdentityToken"] == scene.issuer.unique_id
    assert (answer["Audience"], answer["Provider"]) == (AUDIENCE, "accounts.google.com")
    assert answer["AssumedRoleUser"]["Arn"] == (
        f"arn:aws:sts::123456789012:assumed-role/reverse-etl-export/{NAME}"
    )
    assert answer["AssumedRoleUser"]["AssumedRoleId"].endswith(f":{NAME}")


def test_the_call_is_remembered(scene: Scene) -> None:
    """Tests see who asked for what, that it was unsigned, and what came of it."""
    exchange(scene, DurationSeconds=900)

    (call,) = scene.sts.calls
    assert (call.action, call.session_name) == ("AssumeRoleWithWebIdentity", NAME)
    assert (call.duration_seconds, call.status, call.code) == (900, 200, None)
    assert not call.signed
    assert scene.sts.exchanges == 1
    assert scene.sts.session_names == (NAME,)


def test_the_form_of_the_answer_is_the_query_protocols(scene: Scene) -> None:
    """Namespace, wrapper and times are as AWS writes them."""
    answer = post_token(scene)

    root = ET.fromstring(answer.content)  # noqa: S314 - our own server wrote it
    assert answer.headers["Content-Type"] == "text/xml"
    assert root.tag == f"{{{NAMESPACE}}}AssumeRoleWithWebIdentityResponse"
    path = "sts:AssumeRoleWithWebIdentityResult/sts:Credentials/sts:Expiration"
    expiration = root.findtext(path, namespaces=NS) or ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", expiration)
    request_id = root.findtext("sts:ResponseMetadata/sts:RequestId", namespaces=NS)
    assert request_id == answer.headers["x-amzn-RequestId"]


def test_the_form_of_a_refusal_is_the_query_protocols(scene: Scene) -> None:
    """An error has its own root, type, code and message."""
    answer = post(scene, Action="GetCallerIdentity", Version="2011-06-15")

    root = ET.fromstring(answer.content)  # noqa: S314 - our own server wrote it
    assert answer.status_code == 403
    assert root.tag == f"{{{NAMESPACE}}}ErrorResponse"
    assert root.findtext("sts:Error/sts:Type", namespaces=NS) == "Sender"
    assert root.findtext("sts:Error/sts:Code", namespaces=NS) == "MissingAuthenticationToken"


@pytest.mark.parametrize("bad", BAD_TOKENS, ids=lambda bad: bad.name)
def test_a_bad_token_is_refused(scene: Scene, bad: BadToken) -> None:
    """Wrong in one way each, none of them becomes a session."""
    claims = scene.issuer.default_claims(AUDIENCE, scene.clock())

    status, code, _ = refusal(scene, WebIdentityToken=bad.make(scene.issuer, claims))

    assert code == bad.code
    assert status == (403 if bad.code == "AccessDenied" else 400)
    assert scene.sessions.sessions == ()


def test_a_refusal_does_not_repeat_the_token(scene: Scene) -> None:
    """What AWS says of a token can stand in a log."""
    token = scene.issuer.sign(scene.issuer.default_claims(AUDIENCE), algorithm="none")

    _, _, message = refusal(scene, WebIdentityToken=token)

    assert token not in message
    assert all(part not in message for part in token.split(".") if part)


def test_small_differences_of_clocks_are_forgiven(scene: Scene) -> None:
    """A token of some seconds ahead is valid."""
    token = scene.issuer.token(AUDIENCE, scene.clock() + dt.timedelta(seconds=10))

    assert exchange(scene, WebIdentityToken=token)["Credentials"]


def test_the_short_name_of_the_issuer_is_googles_too(scene: Scene) -> None:
    """Google writes its name with and without the scheme."""
    claims = scene.issuer.default_claims(AUDIENCE) | {"iss": "accounts.google.com"}

    assert exchange(scene, WebIdentityToken=scene.issuer.sign(claims))["Credentials"]


def test_a_role_that_is_not_there_is_refused_like_one_that_does_not_trust(scene: Scene) -> None:
    """AWS does not tell which roles there are."""
    other = "arn:aws:iam::123456789012:role/other"

    assert refusal(scene, RoleArn=other) == (403, "AccessDenied", DENIED)


@pytest.mark.parametrize(
    ("azp", "aud_condition", "is_trusted"),
    [
        ("104857600000000000001", "104857600000000000001", True),
        ("export@test-project.iam.gserviceaccount.com", "104857600000000000001", False),
        ("104857600000000000001", AUDIENCE, False),
        (None, AUDIENCE, True),
    ],
)
def test_the_key_aud_is_the_authorised_party(
    azp: str | None, aud_condition: str, *, is_trusted: bool
) -> None:
    """`accounts.google.com:aud` is azp when the token has one; `:oaud` is its aud."""
    issuer = OidcIssuer()
    role = Role(arn=ROLE_ARN, sub=issuer.unique_id, oaud=AUDIENCE, aud=aud_condition)
    claims = {
        name: value
        for name, value in (issuer.default_claims(AUDIENCE) | {"azp": azp}).items()
        if value is not None
    }

    assert role.trusts(claims) is is_trusted


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (899, "greater than or equal to 900"),
        (43201, "less than or equal to 43200"),
        (3601, "exceeds the MaxSessionDuration set for this role"),
    ],
)
def test_a_duration_out_of_bounds_is_refused(scene: Scene, seconds: int, message: str) -> None:
    """The API has its bounds, and the role has its own."""
    # botocore refuses the first of them itself.
    answer = post_token(scene, DurationSeconds=str(seconds))

    assert answer.status_code == 400
    assert "<Code>ValidationError</Code>" in answer.text
    assert message in answer.text


def test_a_role_may_allow_longer_sessions() -> None:
    """The session lives as long as was asked for, to the second."""
    with open_scene(max_session_seconds=7200) as scene:
        now = scene.clock()

        expires_at = exchange(scene, DurationSeconds=7200)["Credentials"]["Expiration"]

    assert 7199 <= (expires_at - now).total_seconds() <= 7205


@pytest.mark.parametrize("name", ["a", "x" * 65, "two words", "a/b", "a:b", "ä-name"])
def test_a_session_name_has_its_pattern(scene: Scene, name: str) -> None:
    """Two to 64 characters of a few kinds."""
    answer = post_token(scene, RoleSessionName=name)

    assert answer.status_code == 400
    assert "<Code>ValidationError</Code>" in answer.text


@pytest.mark.parametrize("missing", ["RoleArn", "RoleSessionName", "WebIdentityToken"])
def test_what_is_required_is_required(scene: Scene, missing: str) -> None:
    """A call without one of the three fields is refused before the token is looked at."""
    form = {"RoleArn": ROLE_ARN, "RoleSessionName": NAME, "WebIdentityToken": "eyJ.eyJ.x"}
    del form[missing]

    answer = post(scene, Action="AssumeRoleWithWebIdentity", Version="2011-06-15", **form)

    assert answer.status_code == 400
    assert "<Code>ValidationError</Code>" in answer.text


@pytest.mark.parametrize(
    "form", [{}, {"Action": "AssumeRole", "Version": "2011-06-15"}, {"Action": "GetCallerIdentity"}]
)
def test_other_actions_are_unknown(scene: Scene, form: dict[str, str]) -> None:
    """There are two actions, of one version of the API."""
    answer = post(scene, **form)

    assert answer.status_code == 400
    assert "<Code>InvalidAction</Code>" in answer.text


def test_a_session_knows_who_it_is(scene: Scene) -> None:
    """The keys of an exchange sign a call that tells the role and the session's name."""
    key_id = exchange(scene)["Credentials"]["AccessKeyId"]
    session = scene.sessions.find(key_id)

    with sts_client(scene, session) as client:
        identity = client.get_caller_identity()

    assert identity["Account"] == "123456789012"
    assert identity["Arn"].endswith(f":assumed-role/reverse-etl-export/{NAME}")
    assert scene.sts.calls[-1].signed


def caller_refusal(scene: Scene, session: Session) -> str:
    with sts_client(scene, session) as client, pytest.raises(ClientError) as caught:
        client.get_caller_identity()
    code: str = caught.value.response["Error"]["Code"]
    return code


def test_an_expired_session_is_nobody(scene: Scene) -> None:
    """The server's clock decides; the client's is not asked."""
    session = scene.sessions.issue(role_arn=ROLE_ARN, session_name=NAME, seconds=60)
    scene.clock.advance(61)

    assert caller_refusal(scene, session) == "ExpiredToken"


def test_keys_that_were_never_given_are_nobodys(scene: Scene) -> None:
    """Unknown, revoked, with another secret or another's token: refused, each by its code."""
    book = SessionBook()
    unknown = book.issue(role_arn=ROLE_ARN, session_name=NAME)
    revoked = scene.sessions.issue(role_arn=ROLE_ARN, session_name=NAME)
    scene.sessions.revoke(revoked.access_key_id)
    altered = book.issue(role_arn=ROLE_ARN, session_name=NAME)
    scene.sessions.add(
        Session(
            access_key_id=altered.access_key_id,
            secret_access_key="another",
            session_token=altered.session_token,
            expires_at=altered.expires_at,
            role_arn=ROLE_ARN,
            session_name=NAME,
        )
    )

    codes = [caller_refusal(scene, session) for session in (unknown, revoked, altered)]

    assert codes == ["InvalidClientTokenId", "InvalidClientTokenId", "SignatureDoesNotMatch"]


def test_stored_keys_are_a_user(scene: Scene) -> None:
    """Keys without a session token sign as well."""
    user = scene.sessions.store_keys(user_arn="arn:aws:iam::123456789012:user/somebody")

    with sts_client(scene, user) as client:
        identity = client.get_caller_identity()

    assert identity["Arn"] == "arn:aws:iam::123456789012:user/somebody"


def test_over_tls_the_authority_has_to_be_trusted(tls_scene: Scene) -> None:
    """With the authority's file the exchange goes through; without, there is no connection."""
    assert exchange(tls_scene)["Credentials"]

    with pytest.raises(requests.exceptions.SSLError) as caught:
        requests.post(tls_scene.sts.url, timeout=5)

    assert isinstance(caught.value.args[0].reason.args[0], ssl.SSLCertVerificationError)
    assert tls_scene.sts.exchanges == 1


def test_options_say_how_to_come_here(scene: Scene) -> None:
    """The scene gives the product's own options, with the server's address."""
    options = scene.options(session_name="other-name")

    assert (options.endpoint_url, options.role_arn) == (scene.sts.url, ROLE_ARN)
    assert (options.audience, options.session_name) == (AUDIENCE, "other-name")


def test_one_server_can_hold_several_roles() -> None:
    """Each role trusts its own audience only."""
    issuer, sessions = OidcIssuer(), SessionBook()
    prod = Role(arn=ROLE_ARN, sub=issuer.unique_id, oaud="prod")
    dev = Role(arn=f"{ROLE_ARN}-dev", sub=issuer.unique_id, oaud="dev")
    form = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleSessionName": NAME}

    with StsServer(issuer, [prod, dev], sessions) as server:
        statuses = [
            requests.post(
                server.url,
                data=form | {"RoleArn": role.arn, "WebIdentityToken": issuer.token(audience)},
                timeout=5,
            ).status_code
            for role in (prod, dev)
            for audience in ("prod", "dev")
        ]

    assert statuses == [200, 403, 403, 200]
