# Only where the step `cache`, or a whole Dagster, runs inside the VPC as ECS tasks: docker/ecs has what runs.

variable "task_image" {
  description = "The image of docker/Dockerfile in a registry that ECS can pull from, by digest; null for no tasks at all."
  type        = string
  default     = null

  validation {
    condition     = var.task_image == null || can(regex("^[^@[:space:]]+@sha256:[0-9a-f]{64}$", var.task_image))
    error_message = "Give the image by digest (...@sha256:...): a tag can come to mean another image."
  }

  validation {
    condition     = var.task_image == null || (var.redis_url != null && var.redis_cache_arn != null)
    error_message = "Tasks load Redis, and log in by IAM: give redis_url, redis_cache_arn and redis_user_arn too."
  }
}

variable "environment" {
  description = "The deployment's name: REVERSE_ETL_ENVIRONMENT."
  type        = string
  default     = "prod"

  validation {
    condition     = can(regex("^[A-Za-z0-9-]{1,32}$", var.environment))
    error_message = "1 to 32 letters, digits and dashes."
  }
}

variable "redis_url" {
  description = "Where Redis is, such as rediss://users.abcdef.euc1.cache.amazonaws.com:6379?cluster=true; IAM logs in, so there is no password in it."
  type        = string
  default     = null

  validation {
    condition     = var.redis_url == null || can(regex("^rediss://[^@[:space:]]+$", var.redis_url))
    error_message = "Give rediss://HOST:PORT, with TLS and without a user: its id is in redis_user_arn."
  }
}

variable "dagster_postgres_host" {
  description = "The host of the Postgres that keeps the history of a Dagster inside the VPC; null for no Dagster there."
  type        = string
  default     = null

  validation {
    condition     = var.dagster_postgres_host == null || can(regex("^[A-Za-z0-9.-]+$", var.dagster_postgres_host))
    error_message = "Give the host's name alone."
  }

  validation {
    condition     = length(compact([var.dagster_postgres_host, var.dagster_postgres_secret_arn, var.dagster_cluster_arn, var.dagster_logs_bucket])) % 4 == 0
    error_message = "Dagster needs all of dagster_postgres_host, dagster_postgres_secret_arn, dagster_cluster_arn and dagster_logs_bucket, or none."
  }
}

variable "dagster_postgres_secret_arn" {
  description = "The secret in Secrets Manager whose whole text is the password of the user `dagster`, by ARN. Made by hand, so that it is in no state file."
  type        = string
  default     = null

  validation {
    condition     = var.dagster_postgres_secret_arn == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+$", var.dagster_postgres_secret_arn))
    error_message = "Give the secret's whole ARN (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX), without wildcards. Never the password itself."
  }
}

variable "dagster_cluster_arn" {
  description = "The ECS cluster in which Dagster starts its runs, by ARN."
  type        = string
  default     = null

  validation {
    condition     = var.dagster_cluster_arn == null || can(regex("^arn:aws[a-z-]*:ecs:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9_-]+$", var.dagster_cluster_arn))
    error_message = "Give the cluster's ARN (arn:aws:ecs:REGION:ACCOUNT:cluster/NAME), without wildcards."
  }
}

variable "dagster_logs_bucket" {
  description = "The bucket, not that of the landing, for what steps print."
  type        = string
  default     = null

  validation {
    condition     = var.dagster_logs_bucket == null || (can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.dagster_logs_bucket)) && var.dagster_logs_bucket != var.bucket)
    error_message = "Give a bucket's name, of lower-case letters, digits and dashes, other than that of the landing: its readers are others."
  }
}

variable "log_retention_days" {
  description = "How many days CloudWatch keeps what tasks print."
  type        = number
  default     = 30

  validation {
    condition     = contains([1, 3, 5, 7, 14, 30, 60, 90, 180, 365], var.log_retention_days)
    error_message = "1, 3, 5, 7, 14, 30, 60, 90, 180 or 365 days: others CloudWatch does not know."
  }
}
