# Raw rows lie here for some hours. `extract` looks at this access list before anything is paid, and stops when
# it finds anybody else on it.
resource "google_bigquery_dataset" "staging" {
  dataset_id                  = var.staging_dataset
  description                 = "Snapshots of reverse_etl: raw rows that expire. For the pipeline alone."
  location                    = var.location
  default_table_expiration_ms = var.staging_table_hours * 3600 * 1000

  # The least there is: what was deleted can be brought back for two days, not for seven.
  max_time_travel_hours = "48"

  # BigQuery wants an owner in the list; those of the project can change it in any case.
  access {
    role          = "OWNER"
    special_group = "projectOwners"
  }

  # As the API names roles/bigquery.dataEditor.
  access {
    role          = "WRITER"
    user_by_email = google_service_account.pipeline.email
  }
}
