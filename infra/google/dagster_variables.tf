# Only where Dagster starts its runs as Cloud Run jobs.

variable "dagster_postgres_host" {
  description = "The address of the Postgres (Cloud SQL) that keeps Dagster's history; null for no job for Dagster."
  type        = string
  default     = null

  validation {
    condition     = var.dagster_postgres_host == null || can(regex("^[A-Za-z0-9.-]+$", var.dagster_postgres_host))
    error_message = "Give the host's name or address alone."
  }

  validation {
    condition     = length(compact([var.dagster_postgres_host, var.dagster_postgres_secret, var.dagster_logs_bucket])) % 3 == 0
    error_message = "Dagster needs all of dagster_postgres_host, dagster_postgres_secret and dagster_logs_bucket, or none."
  }
}

variable "dagster_postgres_secret" {
  description = "The secret in Secret Manager that holds the password of the user `dagster`. Made by hand, so that it is in no state file."
  type        = string
  default     = null

  validation {
    condition     = var.dagster_postgres_secret == null || can(regex("^[A-Za-z0-9_-]{1,255}$", var.dagster_postgres_secret))
    error_message = "Give the secret's name: letters, digits, dashes and underscores. Never the password itself."
  }
}

variable "dagster_logs_bucket" {
  description = "The name of the Cloud Storage bucket to create for what steps print."
  type        = string
  default     = null

  validation {
    condition     = var.dagster_logs_bucket == null || can(regex("^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$", var.dagster_logs_bucket))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits, dashes and underscores."
  }
}

variable "dagster_logs_days" {
  description = "After so many days what steps printed is removed."
  type        = number
  default     = 30

  validation {
    condition     = var.dagster_logs_days >= 1 && var.dagster_logs_days <= 3650
    error_message = "1 to 3650 days."
  }
}
