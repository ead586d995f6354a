# Only where Redis is ElastiCache and logs in by IAM: who connects, as which of its users. No password is made.

data "aws_iam_policy_document" "redis" {
  statement {
    sid       = "ConnectToRedis"
    actions   = ["elasticache:Connect"]
    resources = [var.redis_cache_arn, var.redis_user_arn]
  }
}

# For whichever role runs the step `cache`: that of a task beside ElastiCache, or the landing role over a VPN.
resource "aws_iam_policy" "redis" {
  count       = var.redis_cache_arn == null ? 0 : 1
  name        = "${var.role_name}-redis"
  description = "reverse_etl: logging in to ElastiCache by IAM"
  policy      = data.aws_iam_policy_document.redis.json
}

output "redis_policy_arn" {
  description = "The policy to attach to the role that runs the step cache; null where Redis is not logged in to by IAM."
  value       = one(aws_iam_policy.redis[*].arn)
}
