# Only where Dagster starts its runs as Cloud Run jobs (docker/cloud-run/dagster.yaml): the job that one run is an
# execution of, and where steps' output is kept. The job of job.tf stays for the command line: it has a command, and
# Dagster brings its own.

locals {
  dagsters = var.dagster_postgres_host == null ? 0 : 1

  dagster_environment = {
    DAGSTER_HOME                = "/opt/dagster/cloud-run"
    DAGSTER_CLOUD_RUN_PROJECT   = var.project
    DAGSTER_CLOUD_RUN_REGION    = var.region
    DAGSTER_COMPUTE_LOGS_BUCKET = var.dagster_logs_bucket
    DAGSTER_POSTGRES_HOST       = var.dagster_postgres_host
    DAGSTER_POSTGRES_PORT       = "5432"
    DAGSTER_POSTGRES_DB         = "dagster"
    DAGSTER_POSTGRES_USER       = "dagster"
    PGSSLMODE                   = "require"
  }

  dagster_secrets = { DAGSTER_POSTGRES_PASSWORD = { secret = var.dagster_postgres_secret, version = "latest" } }
}

resource "google_cloud_run_v2_job" "dagster" {
  count    = local.dagsters
  name     = "${var.account_id}-dagster"
  location = var.region

  template {
    task_count = 1

    template {
      service_account = google_service_account.pipeline.email
      timeout         = "${var.timeout_seconds}s"

      # Dagster tries again, and knows what was done: a second try of Cloud Run's would be the same run twice.
      max_retries = 0

      containers {
        image = var.image

        # No command: Dagster's words for a run go to the image's own entry point.
        args = ["dagster", "--version"]

        resources {
          limits = {
            cpu    = var.cpu
            memory = var.memory
          }
        }

        dynamic "env" {
          for_each = merge(var.settings, local.environment, local.dagster_environment)

          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = merge(local.secrets, local.dagster_secrets)

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
    google_secret_manager_secret_iam_member.dagster_postgres,
  ]
}

# Who runs webserver, daemon and code server is the pipeline's account too: sensors look where runs do.
resource "google_cloud_run_v2_job_iam_member" "start_runs" {
  count    = local.dagsters
  name     = google_cloud_run_v2_job.dagster[0].name
  location = var.region
  role     = "roles/run.jobsExecutorWithOverrides"
  member   = google_service_account.pipeline.member
}

resource "google_cloud_run_v2_job_iam_member" "watch_runs" {
  count    = local.dagsters
  name     = google_cloud_run_v2_job.dagster[0].name
  location = var.region
  role     = "roles/run.viewer"
  member   = google_service_account.pipeline.member
}

resource "google_secret_manager_secret_iam_member" "dagster_postgres" {
  count = local.dagsters

  project   = var.project
  secret_id = var.dagster_postgres_secret
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.pipeline.member
}

resource "google_storage_bucket" "dagster_logs" {
  count                       = local.dagsters
  name                        = var.dagster_logs_bucket
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  lifecycle_rule {
    condition {
      age = var.dagster_logs_days
    }

    action {
      type = "Delete"
    }
  }
}

resource "google_storage_bucket_iam_member" "keep_logs" {
  count  = local.dagsters
  bucket = google_storage_bucket.dagster_logs[0].name
  role   = "roles/storage.objectUser"
  member = google_service_account.pipeline.member
}

# Dagster looks whether the bucket is there before it starts; no role for objects allows that.
resource "google_storage_bucket_iam_member" "see_logs" {
  count  = local.dagsters
  bucket = google_storage_bucket.dagster_logs[0].name
  role   = "roles/storage.legacyBucketReader"
  member = google_service_account.pipeline.member
}
