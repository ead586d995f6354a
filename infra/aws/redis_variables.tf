# Only where Redis is ElastiCache and logs in by IAM: who connects, as which of its users. No password is made.

variable "redis_cache_arn" {
  description = "The ElastiCache replication group, or serverless cache, that is logged in to by IAM, by ARN; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.redis_cache_arn == null || can(regex("^arn:aws[a-z-]*:elasticache:[a-z0-9-]+:[0-9]{12}:(replicationgroup|serverlesscache):[a-z][a-z0-9-]*$", var.redis_cache_arn))
    error_message = "Give the cache's ARN (arn:aws:elasticache:REGION:ACCOUNT:replicationgroup:NAME), in lower case and without wildcards."
  }
}

variable "redis_user_arn" {
  description = "The ElastiCache user that the pipeline logs in as, by ARN; its id is REVERSE_ETL_REDIS_IAM_USER. Needed with redis_cache_arn."
  type        = string
  default     = null

  validation {
    condition     = var.redis_user_arn == null || can(regex("^arn:aws[a-z-]*:elasticache:[a-z0-9-]+:[0-9]{12}:user:[a-zA-Z][a-zA-Z0-9-]*$", var.redis_user_arn))
    error_message = "Give the user's ARN (arn:aws:elasticache:REGION:ACCOUNT:user:ID), without wildcards."
  }

  validation {
    condition     = (var.redis_user_arn == null) == (var.redis_cache_arn == null)
    error_message = "A user connects to a cache: give both ARNs, or neither."
  }
}
