locals {
  environment = {
    REVERSE_ETL_PROFILE          = "cloud"
    REVERSE_ETL_ENVIRONMENT      = var.environment
    REVERSE_ETL_BIGQUERY_PROJECT = var.project
    REVERSE_ETL_BIGQUERY_DATASET = "${var.project}.${google_bigquery_dataset.staging.dataset_id}"
    REVERSE_ETL_STORE_URL        = var.store_url
    REVERSE_ETL_S3_REGION        = var.s3_region
    REVERSE_ETL_AWS_IDENTITY     = "google_oidc"
    REVERSE_ETL_AWS_ROLE_ARN     = var.aws_role_arn
    REVERSE_ETL_OIDC_AUDIENCE    = var.audience
    REVERSE_ETL_SCRATCH_DIR      = "/tmp/reverse_etl"

    # Fetched by the run itself: in the environment it would be every child's, and in each crash report.
    REVERSE_ETL_MASKING_KEY_SECRET = "gcp-secret://projects/${var.project}/secrets/${var.masking_key_secret}/versions/${var.masking_key_version}"
  }

  secrets = var.redis_url_secret == null ? {} : { REVERSE_ETL_REDIS_URL = { secret = var.redis_url_secret, version = "latest" } }
}

resource "google_cloud_run_v2_job" "pipeline" {
  name     = var.account_id
  location = var.region

  template {
    task_count = 1

    template {
      service_account = google_service_account.pipeline.email
      timeout         = "${var.timeout_seconds}s"

      # A new try would be a new run, which asks BigQuery, and pays, again.
      max_retries = 0

      containers {
        image   = var.image
        command = ["reverse-etl"]
        args    = var.arguments

        resources {
          limits = {
            cpu    = var.cpu
            memory = var.memory
          }
        }

        dynamic "env" {
          for_each = merge(var.settings, local.environment)

          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = local.secrets

          content {
            name = env.key

            value_source {
              secret_key_ref {
                secret  = env.value.secret
                version = env.value.version
              }
            }
          }
        }
      }

      dynamic "vpc_access" {
        for_each = var.subnetwork == null ? [] : [var.subnetwork]

        content {
          egress = "PRIVATE_RANGES_ONLY"

          network_interfaces {
            subnetwork = vpc_access.value
          }
        }
      }
    }
  }

  # Cloud Run looks at the secrets when the job is made.
  depends_on = [
    google_secret_manager_secret_iam_member.masking_key,
    google_secret_manager_secret_iam_member.redis_url,
  ]
}
