locals {
  tasks    = var.task_image == null ? 0 : 1
  dagsters = var.task_image == null || var.dagster_postgres_host == null ? 0 : 1

  # What docker/ecs/*.json leaves open.
  task_values = {
    prefix                = var.role_name
    image                 = var.task_image
    region                = var.region
    environment           = var.environment
    store_url             = "s3://${aws_s3_bucket.landing.bucket}/${var.prefix}"
    redis_url             = var.redis_url
    redis_user            = var.redis_user_arn == null ? "" : regex("[^:]+$", var.redis_user_arn)
    redis_cache           = var.redis_cache_arn == null ? "" : regex("[^:]+$", var.redis_cache_arn)
    redis_serverless      = var.redis_cache_arn == null ? "0" : length(regexall(":serverlesscache:", var.redis_cache_arn)) > 0 ? "1" : "0"
    log_group             = "/ecs/${var.role_name}"
    execution_role_arn    = one(aws_iam_role.task_execution[*].arn)
    warm_role_arn         = one(aws_iam_role.warm[*].arn)
    run_role_arn          = one(aws_iam_role.run[*].arn)
    dagster_role_arn      = one(aws_iam_role.dagster[*].arn)
    postgres_host         = var.dagster_postgres_host
    postgres_password_arn = var.dagster_postgres_secret_arn
    logs_bucket           = var.dagster_logs_bucket
  }

  task_documents = {
    for name, count in { warm = local.tasks, run = local.dagsters, dagster = local.dagsters } :
    name => jsondecode(templatefile("${path.module}/../../docker/ecs/task-${name}.json", local.task_values)) if count > 0
  }
}

resource "aws_cloudwatch_log_group" "tasks" {
  count             = local.tasks
  name              = "/ecs/${var.role_name}"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_task_definition" "task" {
  for_each = local.task_documents

  family                   = each.value.family
  requires_compatibilities = each.value.requiresCompatibilities
  network_mode             = each.value.networkMode
  cpu                      = each.value.cpu
  memory                   = each.value.memory
  execution_role_arn       = each.value.executionRoleArn
  task_role_arn            = each.value.taskRoleArn
  container_definitions    = jsonencode(each.value.containerDefinitions)

  runtime_platform {
    operating_system_family = each.value.runtimePlatform.operatingSystemFamily
    cpu_architecture        = each.value.runtimePlatform.cpuArchitecture
  }

  dynamic "volume" {
    for_each = each.value.volumes

    content {
      name = volume.value.name
    }
  }
}

output "task_definitions" {
  description = "The task definitions by what they run: `aws ecs run-task --task-definition ...`."
  value       = { for name, task in aws_ecs_task_definition.task : name => task.arn }
}
