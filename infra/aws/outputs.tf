output "role_arn" {
  description = "The role that the pipeline assumes: aws_role_arn of infra/google."
  value       = aws_iam_role.landing.arn
}

output "store_url" {
  description = "Where versions land: store_url of infra/google."
  value       = "s3://${aws_s3_bucket.landing.bucket}/${var.prefix}"
}

output "reader_policy_arn" {
  description = "The policy to attach to the role that the application runs as."
  value       = aws_iam_policy.reader.arn
}

output "settings" {
  description = "The settings of the pipeline that come from here, by variable; none is a secret."
  value = {
    REVERSE_ETL_STORE_URL     = "s3://${aws_s3_bucket.landing.bucket}/${var.prefix}"
    REVERSE_ETL_S3_REGION     = var.region
    REVERSE_ETL_AWS_ROLE_ARN  = aws_iam_role.landing.arn
    REVERSE_ETL_OIDC_AUDIENCE = var.audience
  }
}
