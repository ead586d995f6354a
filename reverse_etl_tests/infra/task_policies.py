"""What each ECS task may do: the policies that `infra/aws` has to grant, as values."""

from reverse_etl.auth.policies import Policy
from reverse_etl_tests.identity.sessions import PolicyRule

REGION, ACCOUNT = "eu-central-1", "123456789012"
BUCKET, PREFIX, LOGS = "landing", "users/prod", "acme-dagster-logs"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1"
CLUSTER = f"arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/dagster"
SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:dagster-postgres-AbCdEf"
ROLES = f"arn:aws:iam::{ACCOUNT}:role/reverse-etl-landing"
LOG_GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/ecs/reverse-etl-landing"

#: What the documents refer to.
VALUES = {
    "var.prefix": PREFIX,
    "var.region": REGION,
    "var.role_name": "reverse-etl-landing",
    "var.confine_listing": True,
    "var.kms_key_arn": KEY,
    "var.dagster_logs_bucket": LOGS,
    "var.dagster_cluster_arn": CLUSTER,
    "var.dagster_postgres_secret_arn": SECRET,
    "aws_s3_bucket.landing.arn": f"arn:aws:s3:::{BUCKET}",
    "data.aws_caller_identity.current.account_id": ACCOUNT,
    "data.aws_partition.current.partition": "aws",
    "aws_cloudwatch_log_group.tasks[0].arn": LOG_GROUP,
    "aws_iam_role.run[0].arn": f"{ROLES}-run",
    "aws_iam_role.task_execution[0].arn": f"{ROLES}-exec",
}


def _allow(sid: str, actions: list[str], *resources: str, **conditions: object) -> Policy:
    found: Policy = {"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": list(resources)}
    return found | ({"Condition": conditions} if conditions else {})


def _write(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


_OBJECTS = f"arn:aws:s3:::{BUCKET}/{PREFIX}"
_TASKS = f"arn:aws:ecs:{REGION}:{ACCOUNT}:task"

EXPECTED: dict[str, Policy] = {
    "task_trust": _write(
        {
            "Sid": "AssumeInTasks",
            "Effect": "Allow",
            "Action": ["sts:AssumeRole"],
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}},
        }
    ),
    "warm": _write(
        _allow("ReadVersions", ["s3:GetObject"], f"{_OBJECTS}/*"),
        _allow("LeaveQuarantine", ["s3:GetObject"], f"{_OBJECTS}/*/quarantine/*")
        | {"Effect": "Deny"},
        _allow(
            "MoveHead",
            ["s3:PutObject"],
            f"{_OBJECTS}/*/head.json",
            f"{_OBJECTS}/*/published",
            f"{_OBJECTS}/*/loading/*",
        ),
        _allow("EndLoading", ["s3:DeleteObject"], f"{_OBJECTS}/*/loading/*"),
        _allow(
            "ListObjects",
            ["s3:ListBucket"],
            f"arn:aws:s3:::{BUCKET}",
            StringLike={"s3:prefix": f"{PREFIX}/*"},
        ),
        _allow("UseKey", ["kms:GenerateDataKey", "kms:Decrypt"], KEY),
    ),
    "task_logs": _write(
        _allow(
            "KeepOutput",
            ["s3:PutObject", "s3:GetObject"],
            f"arn:aws:s3:::{LOGS}/dagster-compute-logs/*",
        )
    ),
    "launch": _write(
        _allow(
            "StartRuns",
            ["ecs:RunTask"],
            f"{_TASKS}-definition/reverse-etl-landing-run:*",
            ArnEquals={"ecs:cluster": CLUSTER},
        ),
        _allow(
            "TagRuns",
            ["ecs:TagResource"],
            f"{_TASKS}/*",
            StringEquals={"ecs:CreateAction": "RunTask"},
        ),
        _allow(
            "WatchRuns",
            ["ecs:DescribeTasks", "ecs:StopTask"],
            f"{_TASKS}/*",
            ArnEquals={"ecs:cluster": CLUSTER},
        ),
        _allow("LookUp", ["ecs:DescribeTaskDefinition", "ec2:DescribeNetworkInterfaces"], "*"),
        _allow("ReadOutput", ["logs:GetLogEvents"], f"{LOG_GROUP}:*"),
        _allow(
            "PassRoles",
            ["iam:PassRole"],
            f"{ROLES}-run",
            f"{ROLES}-exec",
            StringEquals={"iam:PassedToService": "ecs-tasks.amazonaws.com"},
        ),
    ),
    "task_secrets": _write(
        _allow("ReadPostgresPassword", ["secretsmanager:GetSecretValue"], SECRET)
    ),
}


def build_rules(policy: Policy) -> tuple[PolicyRule, ...]:
    """A policy as the tests' S3 server judges by it."""
    return tuple(
        PolicyRule(
            actions=tuple(statement["Action"]),
            resources=tuple(statement["Resource"]),
            allow=statement["Effect"] == "Allow",
            string_like={
                name: (value,)
                for name, value in statement.get("Condition", {}).get("StringLike", {}).items()
            },
        )
        for statement in policy["Statement"]
    )
