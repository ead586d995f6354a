output "service_account_unique_id" {
  description = "Who the pipeline is for AWS: google_subject of infra/aws."
  value       = google_service_account.pipeline.unique_id
}

output "service_account_email" {
  description = "Who the pipeline is for Google: grant it policy tags and further datasets by this name."
  value       = google_service_account.pipeline.email
}

output "staging_dataset" {
  description = "Where snapshots are staged: REVERSE_ETL_BIGQUERY_DATASET."
  value       = "${var.project}.${google_bigquery_dataset.staging.dataset_id}"
}

output "job" {
  description = "The Cloud Run job: gcloud run jobs execute JOB --region REGION --args=run,SYNC,--partition,DAY"
  value       = google_cloud_run_v2_job.pipeline.name
}
