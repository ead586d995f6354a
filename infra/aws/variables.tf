variable "region" {
  description = "The bucket's region, such as eu-central-1; REVERSE_ETL_S3_REGION is set to the same."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "A region looks like eu-central-1."
  }
}

variable "google_subject" {
  description = "The uniqueId of the pipeline's Google service account: output service_account_unique_id of infra/google."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{10,32}$", var.google_subject))
    error_message = "The uniqueId has digits only. It is neither the account's e-mail address nor its name: those can be given to somebody else later."
  }
}

variable "audience" {
  description = "The audience of Google's token, one a role and environment, such as https://aws.example.com/reverse-etl/prod; no secret. REVERSE_ETL_OIDC_AUDIENCE is set to the same."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9:/._-]{8,255}$", var.audience))
    error_message = "The audience has 8 to 255 letters, digits and : / . _ -"
  }

  validation {
    condition     = !contains(["sts.amazonaws.com", "https://sts.amazonaws.com"], var.audience)
    error_message = "Take an audience of this role's own: with one that roles share, a token for any of them opens all."
  }
}

variable "role_name" {
  description = "The name of the role that the pipeline assumes."
  type        = string
  default     = "reverse-etl-landing"

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{1,56}$", var.role_name))
    error_message = "A role's name has 1 to 56 letters, digits and + = , . @ _ -"
  }
}

variable "bucket" {
  description = "The name of the bucket to create; it is for landing alone."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.bucket))
    error_message = "A bucket's name has 3 to 63 lower-case letters, digits and dashes (no dots: they do not fit TLS certificates)."
  }
}

variable "prefix" {
  description = "The folder of the bucket that the role is confined to, without a slash at either end."
  type        = string
  default     = "reverse_etl"

  validation {
    condition     = can(regex("^[A-Za-z0-9_=-]+(/[A-Za-z0-9_=-]+)*$", var.prefix))
    error_message = "A prefix has letters, digits, _ = - and single slashes inside. Wildcards would widen what the role may do."
  }
}

variable "confine_listing" {
  description = "Whether the names of objects are shown below the prefix alone; false shows those of the whole bucket, for where the doctor's step `s3 absent object` fails with AccessDenied."
  type        = bool
  default     = true
  nullable    = false
}

variable "kms_key_arn" {
  description = "The KMS key that encrypts the bucket, by ARN, in the same account and region; null for S3's own keys (AES256)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$", var.kms_key_arn))
    error_message = "Give the key's ARN (arn:aws:kms:REGION:ACCOUNT:key/ID), no alias: a policy that names an alias grants nothing."
  }
}

variable "key_secret_arn" {
  description = "The secret in Secrets Manager that holds the masking key, by ARN, for a pipeline that takes it from there; null where it does not."
  type        = string
  default     = null

  validation {
    condition     = var.key_secret_arn == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+$", var.key_secret_arn))
    error_message = "Give the secret's whole ARN (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX), without wildcards. Never the key itself."
  }
}

variable "reader_key_secret_arn" {
  description = "The same for the application's reader, where it makes tokens of raw keys; null where it is given tokens."
  type        = string
  default     = null

  validation {
    condition     = var.reader_key_secret_arn == null || can(regex("^arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+$", var.reader_key_secret_arn))
    error_message = "Give the secret's whole ARN (arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-SUFFIX), without wildcards. Never the key itself."
  }
}

variable "max_session_seconds" {
  description = "The longest session that the role gives; REVERSE_ETL_AWS_SESSION_SECONDS may not be more."
  type        = number
  default     = 3600

  validation {
    condition     = var.max_session_seconds >= 3600 && var.max_session_seconds <= 43200
    error_message = "A role's longest session is 3600 to 43200 seconds."
  }
}

variable "incomplete_upload_days" {
  description = "After so many days S3 removes the parts of an upload that was never completed."
  type        = number
  default     = 2

  validation {
    condition     = var.incomplete_upload_days >= 1 && var.incomplete_upload_days <= 7
    error_message = "1 to 7 days."
  }
}

variable "noncurrent_version_days" {
  description = "How many days S3 keeps what was deleted or replaced; masked rows stay in the bucket that much longer."
  type        = number
  default     = 7

  validation {
    condition     = var.noncurrent_version_days >= 1 && var.noncurrent_version_days <= 365
    error_message = "1 to 365 days."
  }
}

variable "tags" {
  description = "Tags for everything that is created."
  type        = map(string)
  default     = {}
}
