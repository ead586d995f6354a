"""`reverse-etl doctor --auth`: every step to AWS, each refusal at its step, and the policies it takes."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reverse_etl.auth.policies import build_trust_policy
from reverse_etl.cli import main
from reverse_etl.cli.doctor.prescription import prescribe
from reverse_etl.settings import Settings
from reverse_etl_tests.bigquery.server import BigQueryServer
from reverse_etl_tests.cli.aws_cloud import PREFIX, Cloud, build_policy, build_rules, open_cloud
from reverse_etl_tests.cli.conftest import Outcome, Run, Shop
from reverse_etl_tests.cli.test_doctor import message, outcomes
from reverse_etl_tests.identity.fixtures import AUDIENCE, clean_aws
from reverse_etl_tests.s3 import conditions, operations
from reverse_etl_tests.s3.server import BUCKET

__all__ = ["clean_aws"]

pytestmark = [pytest.mark.contract, pytest.mark.usefixtures("clean_aws")]

STEPS = [
    "settings",
    "aws identity",
    "google identity",
    "google token",
    "aws session",
    "s3 bucket",
    "s3 put",
    "s3 clock",
    "s3 get",
    "s3 conditional put",
    "s3 checksum",
    "s3 list",
    "s3 absent object",
    "s3 unfinished uploads",
    "s3 delete",
]
#: The test server does not date its answers, as S3 does.
PASSED = dict.fromkeys(STEPS, "passed") | {"s3 clock": "skipped"}
OTHER_SUB = "104857600000000000099"
SECRET_ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:masking-key-AbCdEf"

Walk = Callable[..., Outcome]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A deployment in which everything is right."""
    with open_cloud() as opened:
        yield opened


@pytest.fixture
def walk(capsys: pytest.CaptureFixture[str]) -> Walk:
    """Runs `doctor --auth` and looks for secrets in all that it says."""

    def execute(cloud: Cloud, *words: str) -> Outcome:
        code = main(["doctor", "--auth", *words])
        captured = capsys.readouterr()
        assert cloud.find_secrets(captured.out + captured.err) == []
        return Outcome(code=code, out=captured.out, err=captured.err)

    return execute


def find_steps(document: dict[str, Any], outcome: str) -> list[str]:
    return [step for step, ended in outcomes(document).items() if ended == outcome]


def after(step: str) -> list[str]:
    """The steps of S3 that rest on a session, when it ended at `step`."""
    return [it for it in STEPS[STEPS.index(step) + 1 :] if it != "s3 bucket"]


def test_everything_right_passes_every_step(cloud: Cloud, walk: Walk) -> None:
    """In a fixed order, with one exchange, and nothing is left behind."""
    done = walk(cloud, "--json")

    assert done.code == 0
    assert outcomes(done.document) == PASSED
    assert cloud.scene.sts.exchanges == 1
    assert cloud.s3.objects == {}
    assert cloud.s3.get_bucket(BUCKET).uploads == {}
    said = message(done.document, "google token")
    assert f"sub '{cloud.scene.issuer.unique_id}'" in said
    assert f"aud '{AUDIENCE}'" in said
    assert "encrypted with AES256" in message(done.document, "s3 put")


def test_policies_are_printed_that_would_let_one_pass(cloud: Cloud, walk: Walk) -> None:
    """With the token's own sub, ready to be handed to AWS; a person gets the same."""
    policies = walk(cloud, "--json").document["policies"]
    plain = walk(cloud).out

    assert policies["trust"] == build_trust_policy(
        sub=cloud.scene.issuer.unique_id, audience=AUDIENCE
    )
    assert policies["permissions"] == build_policy()
    assert policies["remarks"] == []
    assert "14 passed, 1 skipped" in plain
    for policy in (policies["trust"], policies["permissions"]):
        assert json.dumps(policy, indent=2) in plain


@pytest.mark.parametrize(
    ("action", "failed"),
    [
        ("s3:PutObject", ["s3 put"]),
        ("s3:GetObject", ["s3 get", "s3 absent object"]),
        ("s3:DeleteObject", ["s3 delete"]),
        ("s3:ListBucket", ["s3 list", "s3 absent object"]),
        ("s3:ListBucketMultipartUploads", ["s3 unfinished uploads"]),
        ("s3:AbortMultipartUpload", ["s3 unfinished uploads"]),
    ],
)
def test_each_permission_is_needed_and_named(walk: Walk, action: str, failed: list[str]) -> None:
    """The printed policy has nothing to spare: without one action of it, the step that needs it fails."""
    with open_cloud(build_policy(without=action)) as cloud:
        done = walk(cloud, "--json")

    assert done.code == 1
    assert find_steps(done.document, "failed") == failed
    for step in failed:
        assert action in message(done.document, step)


def test_absence_that_a_prefix_does_not_reveal_is_told(cloud: Cloud, walk: Walk) -> None:
    """Where S3 wants the right to list the whole bucket for it, message and policy say so."""
    cloud.s3.permissions.prefix_reveals_absence = False

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["s3 absent object"]
    assert "without the condition on s3:prefix" in message(done.document, "s3 absent object")
    policies = done.document["policies"]
    assert policies["permissions"] == build_policy(confine_listing=False)
    assert any("confine_listing = false" in remark for remark in policies["remarks"])


def test_printed_policy_makes_absence_told(cloud: Cloud, walk: Walk) -> None:
    """What is printed is what makes the step pass, also where a prefix does not reveal absence."""
    cloud.s3.permissions.prefix_reveals_absence = False
    policy = walk(cloud, "--json").document["policies"]["permissions"]
    cloud.scene.sts.roles[cloud.scene.role.arn] = replace(
        cloud.scene.role, rules=build_rules(policy)
    )

    done = walk(cloud, "--json")

    assert outcomes(done.document) == PASSED


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:ListBucket"])
def test_grant_that_is_missing_opens_no_other(walk: Walk, action: str) -> None:
    """Absence is denied to who may not get, or list at all: the condition is not at fault then."""
    with open_cloud(build_policy(without=action)) as cloud:
        policies = walk(cloud, "--json").document["policies"]

    assert policies["permissions"] == build_policy()
    assert policies["remarks"] == []


def test_absence_that_is_not_told_for_another_reason_opens_nothing(
    cloud: Cloud, walk: Walk
) -> None:
    """Only a denial speaks of a grant."""
    cloud.s3.faults.answer("InvalidAccessKeyId", key="-absent", times=None)

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["s3 absent object"]
    assert "s3:prefix" not in message(done.document, "s3 absent object")
    assert done.document["policies"]["permissions"] == build_policy()


def test_whole_bucket_has_no_condition_to_leave_out() -> None:
    """Without a prefix the policy is the same, and nothing is remarked."""
    settings = Settings(store_url="s3://landing", s3_region="eu-central-1")

    confined, opened = (
        prescribe(settings, sub=OTHER_SUB, kms_key_arn=None, confine_listing=confine)
        for confine in (True, False)
    )

    assert opened == confined


def test_printed_policies_make_a_refused_deployment_pass(walk: Walk) -> None:
    """Whoever does what the doctor says has done enough."""
    with open_cloud(build_policy(without="s3:PutObject"), audience="another") as cloud:
        refused = walk(cloud, "--json").document
        condition = refused["policies"]["trust"]["Statement"][0]["Condition"]["StringEquals"]
        cloud.scene.sts.roles[cloud.scene.role.arn] = replace(
            cloud.scene.role,
            sub=condition["accounts.google.com:sub"],
            oaud=condition["accounts.google.com:oaud"],
            rules=build_rules(refused["policies"]["permissions"]),
        )

        passed = walk(cloud, "--json")

    assert find_steps(refused, "failed") == ["aws session"]
    assert passed.code == 0


def test_role_that_trusts_another_account_refuses_at_the_exchange(cloud: Cloud, walk: Walk) -> None:
    """The message says what the trust policy has to say; the policy printed says it."""
    cloud.scene.metadata.claim_overrides = {"sub": OTHER_SUB}

    done = walk(cloud, "--json")

    assert done.code == 1
    assert find_steps(done.document, "failed") == ["aws session"]
    assert find_steps(done.document, "skipped") == after("aws session")
    assert f"accounts.google.com:sub '{OTHER_SUB}'" in message(done.document, "aws session")
    assert OTHER_SUB in json.dumps(done.document["policies"]["trust"])


def test_role_that_trusts_another_audience_refuses_at_the_exchange(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token made for something else opens nothing."""
    monkeypatch.setenv("REVERSE_ETL_OIDC_AUDIENCE", "https://aws.example.com/other")

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["aws session"]
    assert "oaud 'https://aws.example.com/other'" in message(done.document, "aws session")


def test_role_that_does_not_exist_refuses_at_the_exchange(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS does not say which it was, so the message names both."""
    monkeypatch.setenv("REVERSE_ETL_AWS_ROLE_ARN", f"{cloud.scene.role.arn}-misspelt")

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["aws session"]
    assert "-misspelt' does not exist, or its trust" in message(done.document, "aws session")


def test_machine_outside_google_fails_first(cloud: Cloud, walk: Walk) -> None:
    """Without a metadata server there is nobody to be; the policy says how to find the sub."""
    cloud.scene.metadata.faults.drop(times=None)

    done = walk(cloud)

    assert done.code == 1
    assert "failed   google identity" in done.out
    assert "There is no Google identity" in " ".join(done.out.split())
    assert "UNIQUE-ID-OF-THE-SERVICE-ACCOUNT" in done.out
    assert "gcloud iam service-accounts describe" in done.out
    assert cloud.scene.sts.calls == ()


def test_machine_without_a_service_account_fails_first(cloud: Cloud, walk: Walk) -> None:
    """It is on Google Cloud, and nobody there."""
    cloud.scene.metadata.has_service_account = False

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["google identity"]
    assert "has no service account" in message(done.document, "google identity")


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": "https://accounts.example.com"}, "issuer is not https://accounts.google.com"),
        ({"aud": "https://elsewhere.example.com"}, "REVERSE_ETL_OIDC_AUDIENCE"),
        ({"sub": None}, "Expected were a sub"),
        ({"exp": 1_700_000_000}, "clock"),
    ],
)
def test_token_that_aws_cannot_take_is_not_shown_to_it(
    cloud: Cloud, walk: Walk, claims: dict[str, Any], said: str
) -> None:
    """What is wrong with the token is said by its claims, before anybody is asked."""
    cloud.scene.metadata.claim_overrides = claims

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["google token"]
    assert said in message(done.document, "google token")
    assert cloud.scene.sts.calls == ()


def test_stored_google_key_is_refused(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the cloud no private key of a service account lies about."""
    path = tmp_path / "key.json"
    path.write_text('{"type": "service_account", "private_key": "canary"}')
    monkeypatch.setenv("REVERSE_ETL_PROFILE", "cloud")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["google identity"]
    assert "private key" in message(done.document, "google identity")
    assert "canary" not in done.out


def test_stored_aws_key_is_refused(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that was left in the environment is told before anybody is asked; its value is not."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["aws identity"]
    assert "AWS_SECRET_ACCESS_KEY is set" in message(done.document, "aws identity")
    assert "canary" not in done.out


@pytest.mark.parametrize(
    "variable", ["REVERSE_ETL_AWS_ROLE_ARN", "REVERSE_ETL_OIDC_AUDIENCE", "REVERSE_ETL_S3_REGION"]
)
def test_missing_setting_is_asked_for(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """The policies are printed all the same, with what is known."""
    monkeypatch.delenv(variable)

    done = walk(cloud, "--json")

    assert done.code == 1
    assert variable in message(done.document, "aws identity")
    assert done.document["policies"]["permissions"] == build_policy()
    assert done.document["policies"]["trust"]["Statement"][0]["Effect"] == "Allow"


def test_audience_of_ones_own_is_proposed(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where none is set, the printed policy says that one has to be chosen."""
    monkeypatch.delenv("REVERSE_ETL_OIDC_AUDIENCE")

    policies = walk(cloud, "--json").document["policies"]

    assert any("a text of your own" in remark for remark in policies["remarks"])
    assert "https://aws.example.com/reverse-etl/ENVIRONMENT" in json.dumps(policies["trust"])


def test_audience_that_cannot_stand_in_a_policy_is_told(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wildcard in it trusts nobody more: the policy comes with placeholders, and says why."""
    monkeypatch.setenv("REVERSE_ETL_OIDC_AUDIENCE", "https://aws.example.com/*")

    policies = walk(cloud, "--json").document["policies"]

    assert "*" not in json.dumps(policies["trust"])
    assert any("made with placeholders" in remark for remark in policies["remarks"])


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-central-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_policies_are_of_the_regions_part_of_aws(region: str, partition: str) -> None:
    """ARNs of China and of the government of the USA begin otherwise."""
    settings = Settings(store_url="s3://landing/users", s3_region=region)

    found = prescribe(settings, sub=None, kms_key_arn=None).permissions

    assert found is not None
    assert found["Statement"][0]["Resource"] == [f"arn:{partition}:s3:::landing/users/*"]


@pytest.mark.parametrize(
    ("secret", "granted", "remark"),
    [
        (f"aws-secret://{SECRET_ARN}", [SECRET_ARN], None),
        ("aws-secret://masking-key", [], "is to be added"),
        ("gcp-secret://projects/p/secrets/s/versions/1", [], None),
        ("nowhere", [], "REVERSE_ETL_MASKING_KEY_SECRET is neither"),
    ],
)
def test_masking_keys_secret_is_prescribed(
    secret: str, granted: list[str], remark: str | None
) -> None:
    """Where it is one of AWS, by ARN; what cannot be said is told, and hides nothing else."""
    settings = Settings(
        store_url="s3://landing/users", s3_region="eu-central-1", masking_key_secret=secret
    )

    found = prescribe(settings, sub=OTHER_SUB, kms_key_arn=None)

    assert found.permissions is not None
    statements = [it for it in found.permissions["Statement"] if it["Sid"] == "ReadMaskingKey"]
    assert [arn for it in statements for arn in it["Resource"]] == granted
    assert [remark for it in found.remarks if remark and remark in it] == (
        [remark] if remark else []
    )


def test_prefix_that_cannot_stand_in_a_policy_is_told(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wildcard in the store's address does not become a wide policy."""
    monkeypatch.setenv("REVERSE_ETL_STORE_URL", f"s3://{BUCKET}/users*")

    policies = walk(cloud, "--json").document["policies"]

    assert policies["permissions"] is None
    assert any("IAM would expand" in remark for remark in policies["remarks"])


def test_endpoint_that_ignores_checksums_is_found_out(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof of landing rests on that check: a server that skips it fails at this step alone."""
    monkeypatch.setattr(operations, "check_body", lambda *_: {})

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["s3 checksum"]
    assert "took bytes that do not have the SHA-256" in message(done.document, "s3 checksum")
    assert cloud.s3.objects == {}


def test_endpoint_that_ignores_conditions_is_found_out(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits and heads rest on conditional writes."""
    monkeypatch.setattr(operations, conditions.check_write.__name__, lambda *_: None)

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["s3 conditional put"]
    assert "ignores conditions on writes" in message(done.document, "s3 conditional put")


def test_endpoint_that_refuses_for_another_reason_has_not_checked(cloud: Cloud, walk: Walk) -> None:
    """A refusal is a proof only if it is about the checksum."""
    cloud.s3.faults.answer("AccessDenied", key="-checksum", times=None)

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["s3 checksum"]
    assert "AccessDenied" in message(done.document, "s3 checksum")


def test_connection_that_breaks_is_told_as_such(cloud: Cloud, walk: Walk) -> None:
    """Without any answer there is nothing to read in one."""
    cloud.s3.faults.reset(operation="PutObject", key="-checksum", times=None)

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["s3 checksum"]
    assert "the connection broke" in message(done.document, "s3 checksum")


def test_bytes_that_change_on_the_way_are_noticed(cloud: Cloud, walk: Walk) -> None:
    """The steps that follow are tried all the same."""
    cloud.s3.faults.flip_byte(operation="PutObject")

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["s3 get"]
    assert "returned other bytes" in message(done.document, "s3 get")


def find_probe(cloud: Cloud) -> str:
    (key,) = cloud.s3.objects
    return key


def forget_probe(cloud: Cloud) -> None:
    cloud.s3.delete_object(find_probe(cloud))


def begin_nothing(cloud: Cloud) -> None:
    cloud.s3.get_bucket(BUCKET).uploads.clear()


def put_everything(cloud: Cloud) -> None:
    key = f"{PREFIX}/_doctor/{cloud.s3.log[0].key.rpartition('/')[2]}"
    for name in (key, f"{key}-absent"):
        cloud.s3.put_object(name, b"of somebody")


@pytest.mark.parametrize(
    ("operation", "skip", "happens", "step", "said"),
    [
        ("ListObjectsV2", 0, forget_probe, "s3 list", "does not list an object"),
        ("GetObject", 1, put_everything, "s3 absent object", "that nobody wrote"),
        ("GetObject", 2, put_everything, "s3 delete", "still returns an object"),
        ("ListMultipartUploads", 0, begin_nothing, "s3 unfinished uploads", "does not list"),
    ],
)
def test_inconsistent_s3_is_found_out(
    cloud: Cloud,
    walk: Walk,
    operation: str,
    skip: int,
    happens: Callable[[Cloud], None],
    step: str,
    said: str,
) -> None:
    """What was written is there, what was removed is not, and both are so at once."""
    cloud.s3.faults.delay(0, operation=operation, skip=skip, before=lambda: happens(cloud))

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == [step]
    assert said in message(done.document, step)


def test_bucket_of_another_region_is_told(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 says where it is, and the message passes it on."""
    cloud.s3.create_bucket("far-away", region="us-west-2")
    monkeypatch.setenv("REVERSE_ETL_STORE_URL", f"s3://far-away/{PREFIX}")

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["s3 put"]
    assert "us-west-2" in message(done.document, "s3 put")


def test_denied_key_fails_the_put_and_is_granted_in_the_policy(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encryption with a key of one's own needs the key; the policy names it."""
    key = "arn:aws:kms:eu-central-1:123456789012:key/8f0a3c1e-0000-4000-8000-000000000000"
    monkeypatch.setenv("REVERSE_ETL_S3_ENCRYPTION", "aws:kms")
    monkeypatch.setenv("REVERSE_ETL_S3_KMS_KEY_ID", key)
    passed = walk(cloud, "--json").document
    cloud.s3.permissions.deny_kms(key)

    denied = walk(cloud, "--json").document

    assert "encrypted with aws:kms through a bucket key" in message(passed, "s3 put")
    assert find_steps(denied, "failed") == ["s3 put"]
    assert "kms:GenerateDataKey" in message(denied, "s3 put")
    (granted,) = [
        statement
        for statement in denied["policies"]["permissions"]["Statement"]
        if statement["Sid"] == "UseKey"
    ]
    assert granted["Resource"] == [key]


def test_key_without_its_arn_is_asked_for(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A policy that names an alias grants nothing, so none is printed."""
    monkeypatch.setenv("REVERSE_ETL_S3_ENCRYPTION", "aws:kms")
    monkeypatch.setenv("REVERSE_ETL_S3_KMS_KEY_ID", "alias/landing")

    policies = walk(cloud, "--json").document["policies"]

    assert "alias" not in json.dumps(policies["permissions"])
    assert any("is no key's ARN" in remark for remark in policies["remarks"])


def test_sts_that_is_away_may_come_back(cloud: Cloud, walk: Walk) -> None:
    """A fault of the moment is told from a refusal."""
    with cloud.scene.sts.faults.outage():
        done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["aws session"]
    assert "Run again in a moment" in message(done.document, "aws session")


def test_stored_keys_have_no_google_steps(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a server of one's own: what does not apply is skipped, what does is examined."""
    monkeypatch.setenv("REVERSE_ETL_AWS_IDENTITY", "static_keys")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", cloud.s3.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", cloud.s3.secret_access_key)

    done = walk(cloud, "--json")

    assert done.code == 0
    assert find_steps(done.document, "skipped") == ["google identity", "google token", "s3 clock"]
    assert "without an end" in message(done.document, "aws session")
    assert done.document["policies"]["trust"] is None
    assert cloud.s3.secret_access_key not in done.out


def test_task_role_outside_a_task_is_told(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else is tried in its place."""
    monkeypatch.setenv("REVERSE_ETL_AWS_IDENTITY", "task_role")

    done = walk(cloud, "--json")

    assert find_steps(done.document, "failed") == ["aws session"]
    assert "this is no ECS task" in message(done.document, "aws session")
    assert cloud.scene.metadata.requests == ()


def test_directory_leaves_the_identity_to_examine(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a bucket there is nothing to permit; the identity is examined all the same."""
    monkeypatch.setenv("REVERSE_ETL_STORE_URL", tmp_path.as_uri())

    done = walk(cloud, "--json")

    assert done.code == 0
    assert find_steps(done.document, "passed") == STEPS[:5]
    assert done.document["policies"]["permissions"] is None


def test_settings_that_cannot_be_read_end_the_walk(
    cloud: Cloud, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing to walk by, and no policy to print."""
    monkeypatch.setenv("REVERSE_ETL_AWS_SESSION_SECONDS", "soon")

    done = walk(cloud, "--json")

    assert outcomes(done.document) == {"settings": "failed"}
    assert "policies" not in done.document


def test_walk_over_tls_trusts_the_authority_that_is_named(
    walk: Walk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As in production, where every header and body goes another way than in clear text."""
    with open_cloud(tls=True) as cloud:
        passed = walk(cloud, "--json")
        monkeypatch.delenv("REVERSE_ETL_S3_CA_FILE")
        distrusted = walk(cloud, "--json")
        monkeypatch.setenv("REVERSE_ETL_S3_CA_FILE", str(tmp_path / "nowhere.pem"))
        missing = walk(cloud, "--json")

    assert outcomes(passed.document) == PASSED
    assert find_steps(distrusted.document, "failed") == ["s3 put"]
    assert "REVERSE_ETL_S3_CA_FILE" in message(distrusted.document, "s3 put")
    assert "REVERSE_ETL_S3_CA_FILE names no file" in json.dumps(missing.document)


@pytest.fixture
def in_the_cloud(
    cloud: Cloud, bigquery_server: BigQueryServer, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> Cloud:
    """The shop's warehouse in BigQuery and its store in S3: the profile `cloud` whole."""
    bigquery_server.copy_duckdb(shop.warehouse)
    monkeypatch.setenv("REVERSE_ETL_PROFILE", "cloud")
    for name, value in {
        "PROJECT": bigquery_server.project,
        "DATASET": "staging",
        "ENDPOINT": bigquery_server.endpoint,
        "STORAGE_ENDPOINT": bigquery_server.storage_endpoint,
        "ANONYMOUS": "1",
    }.items():
        monkeypatch.setenv(f"REVERSE_ETL_BIGQUERY_{name}", value)
    for name, value in cloud.environment.items():
        monkeypatch.setenv(name, value)
    return cloud


def test_every_doctor_in_the_cloud_walks_to_aws(run: Run, in_the_cloud: Cloud) -> None:
    """The steps stand before the store's, which is examined through the same identity."""
    done = run("doctor", "--json")

    found = outcomes(done.document)
    assert done.code == 0
    assert [step for step in found if step in STEPS[1:] or step == "store"] == [*STEPS[1:], "store"]
    assert set(found.values()) <= {"passed", "skipped"}
    assert "policies" not in done.document
    assert in_the_cloud.s3.objects == {}


def test_store_waits_for_the_session(run: Run, in_the_cloud: Cloud) -> None:
    """What fails for one cause is told once."""
    in_the_cloud.scene.metadata.claim_overrides = {"sub": OTHER_SUB}

    done = run("doctor", "--json")

    assert find_steps(done.document, "failed") == ["aws session"]
    assert message(done.document, "store") == "needs what did not pass: aws session"
