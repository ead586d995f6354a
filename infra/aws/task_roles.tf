# One role a kind of task, each with what that task does and nothing else.

# `reverse-etl warm`, and no other command: docker/ecs/task-warm.json.
resource "aws_iam_role" "warm" {
  count              = local.tasks
  name               = "${var.role_name}-warm"
  description        = "reverse_etl: loads landed versions into Redis"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
}

resource "aws_iam_role_policy" "warm" {
  count  = local.tasks
  name   = "load-versions"
  role   = aws_iam_role.warm[0].id
  policy = data.aws_iam_policy_document.warm.json
}

resource "aws_iam_role_policy_attachment" "warm_redis" {
  count      = local.tasks
  role       = aws_iam_role.warm[0].name
  policy_arn = aws_iam_policy.redis[0].arn
}

# A run of the Dagster inside the VPC: the same, and its output is kept.
resource "aws_iam_role" "run" {
  count              = local.dagsters
  name               = "${var.role_name}-run"
  description        = "reverse_etl: runs of Dagster inside the VPC"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
}

resource "aws_iam_role_policy" "run" {
  count  = local.dagsters
  name   = "load-versions"
  role   = aws_iam_role.run[0].id
  policy = data.aws_iam_policy_document.warm.json
}

resource "aws_iam_role_policy" "run_logs" {
  count  = local.dagsters
  name   = "keep-output"
  role   = aws_iam_role.run[0].id
  policy = data.aws_iam_policy_document.task_logs[0].json
}

resource "aws_iam_role_policy_attachment" "run_redis" {
  count      = local.dagsters
  role       = aws_iam_role.run[0].name
  policy_arn = aws_iam_policy.redis[0].arn
}

# Webserver, daemon and code server. Sensors look at versions and at both heads; the rest starts runs.
resource "aws_iam_role" "dagster" {
  count              = local.dagsters
  name               = "${var.role_name}-dagster"
  description        = "reverse_etl: the Dagster inside the VPC, which starts runs"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
}

resource "aws_iam_role_policy" "dagster" {
  count  = local.dagsters
  name   = "start-runs"
  role   = aws_iam_role.dagster[0].id
  policy = data.aws_iam_policy_document.launch[0].json
}

resource "aws_iam_role_policy" "dagster_logs" {
  count  = local.dagsters
  name   = "keep-output"
  role   = aws_iam_role.dagster[0].id
  policy = data.aws_iam_policy_document.task_logs[0].json
}

resource "aws_iam_role_policy_attachment" "dagster_reader" {
  count      = local.dagsters
  role       = aws_iam_role.dagster[0].name
  policy_arn = aws_iam_policy.reader.arn
}

resource "aws_iam_role_policy_attachment" "dagster_redis" {
  count      = local.dagsters
  role       = aws_iam_role.dagster[0].name
  policy_arn = aws_iam_policy.redis[0].arn
}

# ECS itself: pulls the image, writes CloudWatch, and fetches the secret before the container starts.
resource "aws_iam_role" "task_execution" {
  count              = local.tasks
  name               = "${var.role_name}-exec"
  description        = "reverse_etl: ECS, while it starts a task"
  assume_role_policy = data.aws_iam_policy_document.task_trust.json
}

resource "aws_iam_role_policy_attachment" "task_execution" {
  count      = local.tasks
  role       = aws_iam_role.task_execution[0].name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_iam_role_policy" "task_execution" {
  count  = local.dagsters
  name   = "read-secrets"
  role   = aws_iam_role.task_execution[0].id
  policy = data.aws_iam_policy_document.task_secrets[0].json
}
