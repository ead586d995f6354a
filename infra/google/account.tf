# Who the pipeline is, for BigQuery and, by its uniqueId, for AWS. No key is made for it: Cloud Run gives its
# tokens to the job and to nobody else.
resource "google_service_account" "pipeline" {
  account_id   = var.account_id
  display_name = "reverse_etl ${var.environment}"
  description  = "Carries tables of users from BigQuery to AWS"

  # An account that is made anew has another uniqueId, and AWS no longer knows it.
  lifecycle {
    prevent_destroy = true
  }
}

resource "google_project_iam_member" "run_jobs" {
  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.pipeline.member
}

resource "google_project_iam_member" "read_sessions" {
  project = var.project
  role    = "roles/bigquery.readSessionUser"
  member  = google_service_account.pipeline.member
}

resource "google_bigquery_dataset_iam_member" "read_source" {
  for_each = var.source_datasets

  project    = regex("^(.+)[.]([^.]+)$", each.value)[0]
  dataset_id = regex("^(.+)[.]([^.]+)$", each.value)[1]
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.pipeline.member
}

resource "google_secret_manager_secret_iam_member" "masking_key" {
  project   = var.project
  secret_id = var.masking_key_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.pipeline.member
}

resource "google_secret_manager_secret_iam_member" "redis_url" {
  count = var.redis_url_secret == null ? 0 : 1

  project   = var.project
  secret_id = var.redis_url_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.pipeline.member
}
