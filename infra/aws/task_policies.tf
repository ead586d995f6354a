# Equal to what reverse_etl_tests/infra/task_policies.py says that each task needs; a test runs `warm` with it.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

data "aws_iam_policy_document" "task_trust" {
  statement {
    sid     = "AssumeInTasks"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    # ECS on behalf of this account, and of no other.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

# Loading reads versions, and writes three names of each sync: the head, that there is one, and what is being loaded.
# It cannot write a version, change one, or remove one.
data "aws_iam_policy_document" "warm" {
  statement {
    sid       = "ReadVersions"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.landing.arn}/${var.prefix}/*"]
  }

  # Rows that were set aside are for people alone.
  statement {
    sid       = "LeaveQuarantine"
    effect    = "Deny"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.landing.arn}/${var.prefix}/*/quarantine/*"]
  }

  statement {
    sid     = "MoveHead"
    actions = ["s3:PutObject"]
    resources = [
      "${aws_s3_bucket.landing.arn}/${var.prefix}/*/head.json",
      "${aws_s3_bucket.landing.arn}/${var.prefix}/*/published",
      "${aws_s3_bucket.landing.arn}/${var.prefix}/*/loading/*",
    ]
  }

  statement {
    sid       = "EndLoading"
    actions   = ["s3:DeleteObject"]
    resources = ["${aws_s3_bucket.landing.arn}/${var.prefix}/*/loading/*"]
  }

  statement {
    sid       = "ListObjects"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.landing.arn]

    dynamic "condition" {
      for_each = var.confine_listing ? [var.prefix] : []

      content {
        test     = "StringLike"
        variable = "s3:prefix"
        values   = ["${condition.value}/*"]
      }
    }
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "UseKey"
      actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
      resources = [statement.value]
    }
  }
}

data "aws_iam_policy_document" "task_logs" {
  count = local.dagsters

  statement {
    sid       = "KeepOutput"
    actions   = ["s3:PutObject", "s3:GetObject"]
    resources = ["arn:${data.aws_partition.current.partition}:s3:::${var.dagster_logs_bucket}/dagster-compute-logs/*"]
  }
}

# Webserver and daemon start, watch and stop runs: tasks of one definition, in one cluster.
data "aws_iam_policy_document" "launch" {
  count = local.dagsters

  statement {
    sid       = "StartRuns"
    actions   = ["ecs:RunTask"]
    resources = ["arn:${data.aws_partition.current.partition}:ecs:${var.region}:${data.aws_caller_identity.current.account_id}:task-definition/${var.role_name}-run:*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [var.dagster_cluster_arn]
    }
  }

  statement {
    sid       = "TagRuns"
    actions   = ["ecs:TagResource"]
    resources = ["arn:${data.aws_partition.current.partition}:ecs:${var.region}:${data.aws_caller_identity.current.account_id}:task/*"]

    condition {
      test     = "StringEquals"
      variable = "ecs:CreateAction"
      values   = ["RunTask"]
    }
  }

  statement {
    sid       = "WatchRuns"
    actions   = ["ecs:DescribeTasks", "ecs:StopTask"]
    resources = ["arn:${data.aws_partition.current.partition}:ecs:${var.region}:${data.aws_caller_identity.current.account_id}:task/*"]

    condition {
      test     = "ArnEquals"
      variable = "ecs:cluster"
      values   = [var.dagster_cluster_arn]
    }
  }

  # These two know no resources.
  statement {
    sid       = "LookUp"
    actions   = ["ecs:DescribeTaskDefinition", "ec2:DescribeNetworkInterfaces"]
    resources = ["*"]
  }

  statement {
    sid       = "ReadOutput"
    actions   = ["logs:GetLogEvents"]
    resources = ["${aws_cloudwatch_log_group.tasks[0].arn}:*"]
  }

  statement {
    sid       = "PassRoles"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.run[0].arn, aws_iam_role.task_execution[0].arn]

    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ecs-tasks.amazonaws.com"]
    }
  }
}

# What ECS itself needs before a container starts, beside AWS' own policy for images and logs.
data "aws_iam_policy_document" "task_secrets" {
  count = local.dagsters

  statement {
    sid       = "ReadPostgresPassword"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.dagster_postgres_secret_arn]
  }
}
