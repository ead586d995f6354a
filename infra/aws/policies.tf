# Equal to what reverse_etl/auth/policies.py builds and `reverse-etl doctor --auth` prints; a test holds that.

# accounts.google.com is known to AWS: no OIDC provider is created for it.
data "aws_iam_policy_document" "trust" {
  statement {
    sid     = "AssumeWithGoogleIdentity"
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = ["accounts.google.com"]
    }

    # Who: anybody can have a token made for any audience, so the account is what counts.
    condition {
      test     = "StringEquals"
      variable = "accounts.google.com:sub"
      values   = [var.google_subject]
    }

    # What for: a token that the same account had made for another service opens nothing here.
    condition {
      test     = "StringEquals"
      variable = "accounts.google.com:oaud"
      values   = [var.audience]
    }
  }
}

data "aws_iam_policy_document" "landing" {
  statement {
    sid = "LandObjects"
    actions = [
      "s3:PutObject",
      "s3:GetObject",
      "s3:DeleteObject",
      "s3:AbortMultipartUpload",
    ]
    resources = ["${aws_s3_bucket.landing.arn}/${var.prefix}/*"]
  }

  # S3 holds the name of a missing object against s3:prefix as well (seen, not documented): it answers 404, not 403.
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

  # Apart, because S3 knows no s3:prefix here: under that condition it would never be granted.
  statement {
    sid       = "ListUnfinishedUploads"
    actions   = ["s3:ListBucketMultipartUploads"]
    resources = [aws_s3_bucket.landing.arn]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "UseKey"
      actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.key_secret_arn == null ? [] : [var.key_secret_arn]

    content {
      sid       = "ReadMaskingKey"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [statement.value]
    }
  }
}

data "aws_iam_policy_document" "reader" {
  statement {
    sid       = "ReadObjects"
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

  # The reader never lists: S3 answers 404 for a missing object only to who may, and 403 to everybody else.
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
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.reader_key_secret_arn == null ? [] : [var.reader_key_secret_arn]

    content {
      sid       = "ReadMaskingKey"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = [statement.value]
    }
  }
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid     = "DenyWithoutTls"
    effect  = "Deny"
    actions = ["s3:*"]
    resources = [
      aws_s3_bucket.landing.arn,
      "${aws_s3_bucket.landing.arn}/*",
    ]

    principals {
      type        = "*"
      identifiers = ["*"]
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}
