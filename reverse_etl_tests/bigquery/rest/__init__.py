"""BigQuery's REST API, version 2, as far as google-cloud-bigquery needs it here."""
