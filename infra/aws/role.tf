resource "aws_iam_role" "landing" {
  name                 = var.role_name
  description          = "reverse_etl: assumed with the identity of one Google service account, without a stored key"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = var.max_session_seconds
}

resource "aws_iam_role_policy" "landing" {
  name   = "land-objects"
  role   = aws_iam_role.landing.id
  policy = data.aws_iam_policy_document.landing.json
}

# For the application's own role: attach it there.
resource "aws_iam_policy" "reader" {
  name        = "${var.role_name}-reader"
  description = "reverse_etl: what the application's reader needs when Redis misses"
  policy      = data.aws_iam_policy_document.reader.json
}
