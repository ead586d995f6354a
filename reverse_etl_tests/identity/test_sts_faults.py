"""What can go wrong between a client and STS, on demand."""

import threading
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest
import requests

from reverse_etl_tests.identity.fixtures import AUDIENCE, Scene, open_scene

NAME = "dagster-test-1a2b3c4d"


def bring_token(
    scene: Scene, *, timeout: float = 5, session: requests.Session | None = None
) -> requests.Response:
    """One exchange by plain HTTP: no client repeats anything."""
    return (session or requests).post(
        scene.sts.url,
        data={
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": scene.role.arn,
            "RoleSessionName": NAME,
            "WebIdentityToken": scene.issuer.token(AUDIENCE, scene.clock()),
        },
        timeout=timeout,
    )


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "ServiceUnavailable", "Receiver"),
        (400, "IDPCommunicationError", "Sender"),
        (400, "Throttling", "Sender"),
        (500, "InternalFailure", "Receiver"),
    ],
)
def test_the_next_calls_fail(scene: Scene, status: int, code: str, kind: str) -> None:
    """As many as were planned, with the status and code that were planned; then all is well."""
    scene.sts.faults.fail(status, code, times=2)

    answers = [bring_token(scene) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [status, status, 200]
    assert f"<Type>{kind}</Type>\n    <Code>{code}</Code>" in answers[0].text
    assert [call.code for call in scene.sts.calls] == [code, code, None]
    assert len(scene.sessions.sessions) == 1


def test_a_fault_lets_some_calls_pass_first(scene: Scene) -> None:
    """`skip` counts the calls before the fault."""
    scene.sts.faults.fail(skip=1)

    assert [bring_token(scene).status_code for _ in range(3)] == [200, 503, 200]


def test_a_fault_is_for_the_action_it_names(scene: Scene) -> None:
    """Other actions do not use it up."""
    fault = scene.sts.faults.fail(match="GetCallerIdentity")

    assert bring_token(scene).status_code == 200
    assert fault.hits == 0


def test_an_outage_begins_and_ends(scene: Scene) -> None:
    """While it lasts everything fails; the sessions of before are still sessions."""
    assert bring_token(scene).status_code == 200

    with scene.sts.faults.outage() as outage:
        assert [bring_token(scene).status_code for _ in range(2)] == [503, 503]

    assert bring_token(scene).status_code == 200
    assert outage.hits == 2
    assert len(scene.sessions.sessions) == 2


def test_a_lost_answer_gave_a_session_all_the_same(scene: Scene) -> None:
    """The client sees a broken connection; AWS has issued keys that nobody holds."""
    scene.sts.faults.lose_answer()

    with pytest.raises(requests.ConnectionError):
        bring_token(scene)

    assert len(scene.sessions.sessions) == 1
    assert scene.sts.calls[0].status is None
    assert bring_token(scene).status_code == 200


def test_a_dropped_connection_gave_none(scene: Scene) -> None:
    """The connection ends before anything is done."""
    scene.sts.faults.drop()

    with pytest.raises(requests.ConnectionError):
        bring_token(scene)

    assert scene.sessions.sessions == ()


def test_an_answer_can_be_garbage(scene: Scene) -> None:
    """A proxy's page in place of STS' answer."""
    scene.sts.faults.garble()

    answer = bring_token(scene)

    assert answer.status_code == 200
    assert answer.text.startswith("<html>")


@pytest.mark.parametrize(("after", "sessions_meanwhile"), [(False, 0), (True, 1)])
def test_a_call_hangs_until_it_is_released(
    scene: Scene, *, after: bool, sessions_meanwhile: int
) -> None:
    """Before the exchange, or after it: a session was given to somebody who still waits."""
    fault = scene.sts.faults.hang(after=after)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(bring_token, scene)
        assert fault.holding.wait(5)
        assert len(scene.sessions.sessions) == sessions_meanwhile
        assert not waiting.done()

        fault.release()

        assert waiting.result().status_code == 200
    assert len(scene.sessions.sessions) == 1


def test_a_client_that_gave_up_leaves_others_alone(scene: Scene) -> None:
    """One call hangs, the next is answered."""
    scene.sts.faults.hang()

    with pytest.raises(requests.Timeout):
        bring_token(scene, timeout=0.05)

    assert bring_token(scene).status_code == 200


def test_a_late_answer_is_an_answer(scene: Scene) -> None:
    """A delay changes nothing else."""
    fault = scene.sts.faults.delay(0.02, times=1)

    assert bring_token(scene).status_code == 200
    assert fault.hits == 1


def test_sessions_can_be_shorter_than_aws_allows() -> None:
    """A renewal is tested in real time: what was asked for does not matter."""
    with open_scene(session_seconds_override=1.5) as scene:
        before = scene.clock()
        bring_token(scene)
        after = scene.clock()

        (session,) = scene.sessions.sessions

    assert session.expires_at is not None
    assert before.timestamp() + 1.5 <= session.expires_at.timestamp() <= after.timestamp() + 1.5


def test_the_servers_clock_can_be_put_forward(scene: Scene) -> None:
    """Token, session and the answer's date go by the scene's clock."""
    scene.clock.advance(86400)

    answer = bring_token(scene)

    (session,) = scene.sessions.sessions
    assert answer.status_code == 200
    assert session.expires_at is not None
    assert abs((session.expires_at - scene.clock()).total_seconds() - 3600) < 60
    date = parsedate_to_datetime(answer.headers["Date"])
    assert abs((date - scene.clock()).total_seconds()) < 60


def test_many_at_once_are_each_answered(scene: Scene) -> None:
    """Sixteen callers get sixteen different sessions."""
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: bring_token(scene), range(16)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({session.access_key_id for session in scene.sessions.sessions}) == 16
    assert scene.sts.exchanges == 16


def test_closing_ends_threads_with_callers_still_waiting() -> None:
    """Neither a kept connection nor a hanging call outlives the server."""
    before = set(threading.enumerate())
    with requests.Session() as kept, ThreadPoolExecutor(1) as pool:
        with open_scene() as scene:
            bring_token(scene, session=kept)
            fault = scene.sts.faults.hang()
            waiting = pool.submit(bring_token, scene)
            assert fault.reached.wait(5)

        # Let go by the end of the server: answered, or hung up on.
        assert waiting.exception() is None or isinstance(
            waiting.exception(), requests.ConnectionError
        )

    assert set(threading.enumerate()) <= before
