variable "project" {
  description = "The project that runs the pipeline, and pays for its queries."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "Give the project's id, not its number or title."
  }
}

variable "region" {
  description = "Where the Cloud Run job runs, such as europe-west3; near the data."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region looks like europe-west3."
  }
}

variable "location" {
  description = "Where the staging dataset lies, such as EU: that of the tables that queries read."
  type        = string

  validation {
    condition     = can(regex("^([A-Z]{2}|[a-z]+-[a-z]+[0-9]+)$", var.location))
    error_message = "A location is EU, US, or a region such as europe-west3."
  }
}

variable "environment" {
  description = "The deployment's name, shown in AWS' logs: REVERSE_ETL_ENVIRONMENT."
  type        = string
  default     = "prod"

  validation {
    condition     = can(regex("^[A-Za-z0-9-]{1,32}$", var.environment))
    error_message = "1 to 32 letters, digits and dashes."
  }
}

variable "account_id" {
  description = "The name of the service account to create, before the @."
  type        = string
  default     = "reverse-etl"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.account_id))
    error_message = "A service account's name has 6 to 30 lower-case letters, digits and dashes."
  }
}

variable "staging_dataset" {
  description = "The name of the staging dataset to create; snapshots with raw rows lie there until they expire."
  type        = string
  default     = "reverse_etl_staging"

  validation {
    condition     = can(regex("^[A-Za-z0-9_]+$", var.staging_dataset))
    error_message = "A dataset's name has letters, digits and underscores; the project is not part of it."
  }
}

variable "staging_table_hours" {
  description = "After so many hours a staging table goes by itself, unless it says otherwise; more than REVERSE_ETL_SNAPSHOT_TTL_HOURS."
  type        = number
  default     = 48

  validation {
    condition     = var.staging_table_hours >= 1 && var.staging_table_hours <= 168
    error_message = "1 to 168 hours."
  }
}

variable "source_datasets" {
  description = "The datasets that queries read, as project.dataset; the account may read these and no others."
  type        = set(string)

  validation {
    condition     = length(var.source_datasets) > 0 && alltrue([for name in var.source_datasets : can(regex("^[a-z][a-z0-9:.-]+[.][A-Za-z0-9_]+$", name))])
    error_message = "Name at least one dataset, each as project.dataset."
  }
}

variable "image" {
  description = "The image of docker/Dockerfile in a registry that Cloud Run can pull from, by digest."
  type        = string

  validation {
    condition     = can(regex("^[^@[:space:]]+@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Give the image by digest (...@sha256:...): a tag can come to mean another image."
  }
}

variable "arguments" {
  description = "What the job runs when it is started without other arguments; the doctor costs nothing."
  type        = list(string)
  default     = ["doctor"]

  validation {
    condition     = length(var.arguments) > 0
    error_message = "Name a command of reverse-etl, such as doctor."
  }
}

variable "store_url" {
  description = "Where versions land: output store_url of infra/aws."
  type        = string

  validation {
    condition     = can(regex("^s3://[a-z0-9][a-z0-9-]{1,61}[a-z0-9]/[A-Za-z0-9_=/-]*[A-Za-z0-9_=-]$", var.store_url))
    error_message = "Give s3://bucket/prefix, without a slash at the end."
  }
}

variable "s3_region" {
  description = "The bucket's region, such as eu-central-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.s3_region))
    error_message = "A region looks like eu-central-1."
  }
}

variable "aws_role_arn" {
  description = "The role to assume: output role_arn of infra/aws. Known beforehand: arn:aws:iam::ACCOUNT:role/reverse-etl-landing."
  type        = string

  validation {
    condition     = can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+$", var.aws_role_arn))
    error_message = "A role's ARN looks like arn:aws:iam::123456789012:role/reverse-etl-landing."
  }
}

variable "audience" {
  description = "The audience of the token: the same as audience of infra/aws."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9:/._-]{8,255}$", var.audience))
    error_message = "The audience has 8 to 255 letters, digits and : / . _ -"
  }
}

variable "masking_key_secret" {
  description = "The secret in Secret Manager, in the same project, that holds the masking key. It is made by hand, so that the key is in no state file."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{1,255}$", var.masking_key_secret))
    error_message = "Give the secret's name: letters, digits, dashes and underscores. Never the key itself."
  }
}

variable "masking_key_version" {
  description = "The secret's version, by number: another key makes other tokens, so it must not change by itself."
  type        = string
  default     = "1"

  validation {
    condition     = can(regex("^[1-9][0-9]*$", var.masking_key_version))
    error_message = "Give a number, not 'latest'."
  }
}

variable "redis_url_secret" {
  description = "The secret in Secret Manager that holds REVERSE_ETL_REDIS_URL; null where Redis is loaded elsewhere."
  type        = string
  default     = null

  validation {
    condition     = var.redis_url_secret == null || can(regex("^[A-Za-z0-9_-]{1,255}$", var.redis_url_secret))
    error_message = "Give the secret's name: letters, digits, dashes and underscores. Never the URL itself."
  }
}

variable "subnetwork" {
  description = "The subnetwork that private addresses are reached through, such as Redis behind a VPN; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.subnetwork == null || can(regex("^[a-z0-9/_-]+$", var.subnetwork))
    error_message = "Give the subnetwork's name, or projects/PROJECT/regions/REGION/subnetworks/NAME."
  }
}

variable "settings" {
  description = "Further settings of docs/settings.md by variable, such as REVERSE_ETL_S3_ENCRYPTION; no secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for name in keys(var.settings) : startswith(name, "REVERSE_ETL_")])
    error_message = "Settings begin with REVERSE_ETL_. AWS_ACCESS_KEY_ID and its companions have no place here: no key is stored."
  }

  validation {
    condition     = length(setintersection(keys(var.settings), ["REVERSE_ETL_MASKING_KEY", "REVERSE_ETL_REDIS_URL"])) == 0
    error_message = "REVERSE_ETL_MASKING_KEY and REVERSE_ETL_REDIS_URL are secrets: name theirs in masking_key_secret and redis_url_secret."
  }
}

variable "cpu" {
  description = "How many cores the job has."
  type        = string
  default     = "2"

  validation {
    condition     = contains(["1", "2", "4", "6", "8"], var.cpu)
    error_message = "Cloud Run gives 1, 2, 4, 6 or 8 cores."
  }
}

variable "memory" {
  description = "The job's memory; what spills to disk is in it too, because Cloud Run's file system is memory."
  type        = string
  default     = "4Gi"

  validation {
    condition     = can(regex("^[1-9][0-9]*(Mi|Gi)$", var.memory))
    error_message = "A size such as 4Gi."
  }
}

variable "timeout_seconds" {
  description = "A job that runs longer is ended."
  type        = number
  default     = 14400

  validation {
    condition     = var.timeout_seconds >= 60 && var.timeout_seconds <= 86400
    error_message = "60 to 86400 seconds."
  }
}
