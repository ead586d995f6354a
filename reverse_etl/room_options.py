"""From the settings to what each room has to be told; nothing heavy is imported, nobody is contacted."""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from reverse_etl.auth.options import (
    AuthOptions,
    AwsSecret,
    GoogleOidc,
    GoogleSecret,
    RedisIam,
    SecretOptions,
    StaticKeys,
    TaskRole,
)
from reverse_etl.errors import ConfigError
from reverse_etl.landing.s3.options import ENCRYPTION_VARIABLES, S3Options
from reverse_etl.settings import (
    AwsIdentity,
    Profile,
    RedisAuth,
    Secret,
    Settings,
    find_set,
)
from reverse_etl.sources.bigquery.options import BigQueryOptions, Prices

_MIB = 1 << 20
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_RUN_ID_LETTERS = 12
# https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
_GOOGLE_SECRET = re.compile(
    r"projects/[a-z0-9.:-]{1,63}(?:/locations/(?P<location>[a-z0-9-]{1,32}))?"
    r"/secrets/[A-Za-z0-9_-]{1,255}/versions/[A-Za-z0-9_-]{1,63}"
)
_AWS_SECRET = re.compile(
    r"(?:arn:aws[a-z-]*:secretsmanager:(?P<region>[a-z0-9-]+):\d{12}:secret:)?[A-Za-z0-9/_+=.@-]{1,512}",
    re.ASCII,
)
_REDIS_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,39}", re.ASCII)
_AWS_VERSION = re.compile(r"[A-Za-z0-9-]{32,64}")
_REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def build_bigquery_options(settings: Settings) -> BigQueryOptions:
    """What the settings say of BigQuery; `ConfigError` when there is no staging dataset."""
    if settings.bigquery_dataset is None:
        raise ConfigError(
            "REVERSE_ETL_BIGQUERY_DATASET is not set. Create a dataset that only the pipeline can read "
            "(docs/bigquery.md) and name it: snapshots are staged there."
        )
    return BigQueryOptions(
        dataset=settings.bigquery_dataset,
        project=settings.bigquery_project,
        location=settings.bigquery_location,
        endpoint=settings.bigquery_endpoint,
        storage_endpoint=settings.bigquery_storage_endpoint,
        anonymous=settings.bigquery_anonymous,
        max_bytes_billed=settings.bigquery_max_bytes_billed,
        job_timeout_seconds=settings.bigquery_job_timeout_seconds,
        preferred_streams=settings.bigquery_preferred_streams,
        max_streams=settings.bigquery_max_streams,
        in_flight_bytes=settings.bigquery_in_flight_mb * _MIB,
        stall_seconds=settings.bigquery_stall_seconds,
        staging_readers=settings.bigquery_staging_readers,
        watch_minutes=settings.bigquery_watch_minutes,
        watch_slot_hours=settings.bigquery_watch_slot_hours,
        prices=Prices(
            query_per_tib=settings.bigquery_price_per_tib,
            read_per_tib=settings.bigquery_read_price_per_tib,
            egress_per_gib=settings.egress_price_per_gib,
        ),
    )


def build_store_options(settings: Settings) -> S3Options | Path:
    """The place that REVERSE_ETL_STORE_URL names: in a bucket, or a directory."""
    parts = urlsplit(settings.store_url)
    if parts.scheme == "file":
        return Path(unquote(parts.netloc + parts.path))
    if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc) or parts.query or parts.fragment:
        raise ConfigError(
            "REVERSE_ETL_STORE_URL is neither s3://bucket/prefix nor file:///folder. A bucket's name has 3 "
            "to 63 lower-case letters, digits, dots and dashes."
        )
    if settings.s3_region is None:
        raise ConfigError(
            "REVERSE_ETL_S3_REGION is not set; a store at s3:// needs the region of its bucket, such as "
            "eu-central-1."
        )
    if settings.s3_kms_key_id is not None and settings.s3_encryption != "aws:kms":
        raise ConfigError(
            "REVERSE_ETL_S3_KMS_KEY_ID is set and REVERSE_ETL_S3_ENCRYPTION is not aws:kms: the key would "
            "not be used. Set both, or neither."
        )
    _refuse_clear_text(settings)
    overruling = find_set(ENCRYPTION_VARIABLES)
    if overruling:
        raise ConfigError(
            f"{', '.join(overruling)} would change how objects are encrypted. Unset it, and say what is "
            "meant by REVERSE_ETL_S3_ENCRYPTION and REVERSE_ETL_S3_KMS_KEY_ID."
        )
    return S3Options(
        bucket=parts.netloc,
        prefix=parts.path.strip("/"),
        region=settings.s3_region,
        endpoint_url=settings.s3_endpoint_url,
        ca_file=settings.s3_ca_file,
        encryption=settings.s3_encryption,
        kms_key_id=settings.s3_kms_key_id,
        concurrency=settings.s3_concurrency,
    )


def _refuse_clear_text(settings: Settings) -> None:
    """Records, and the token of a session, go over TLS or stay on this machine."""
    parts = urlsplit(settings.s3_endpoint_url or "https:")
    is_near = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if parts.scheme == "http" and not is_near:
        if settings.aws_identity is AwsIdentity.STATIC_KEYS:
            return  # a server of your own, in a network of your own
        raise ConfigError(
            "REVERSE_ETL_S3_ENDPOINT_URL begins with http://, which would show records and the session's "
            "token to the network. Use https://; with static_keys, for a server of your own, http:// is "
            "taken."
        )


def build_auth_options(settings: Settings, *, run_id: str) -> AuthOptions:
    """Who we are for AWS, and nobody else; `ConfigError` when something is missing or contradicts it."""
    if settings.aws_identity is AwsIdentity.STATIC_KEYS:
        return _build_static_keys(settings)
    _refuse_stored_keys(settings)
    if settings.aws_identity is AwsIdentity.TASK_ROLE:
        return TaskRole()
    needed = {
        "REVERSE_ETL_AWS_ROLE_ARN": settings.aws_role_arn,
        "REVERSE_ETL_OIDC_AUDIENCE": settings.oidc_audience,
        "REVERSE_ETL_S3_REGION": settings.s3_region,
    }
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise ConfigError(
            f"REVERSE_ETL_AWS_IDENTITY is google_oidc, which needs {', '.join(missing)} as well "
            "(docs/aws.md). On ECS set it to task_role."
        )
    return GoogleOidc(
        role_arn=settings.aws_role_arn or "",
        audience=settings.oidc_audience or "",
        region=settings.s3_region or "",
        session_name=_build_session_name(settings.environment, run_id),
        session_seconds=settings.aws_session_seconds,
        endpoint_url=settings.sts_endpoint_url,
        ca_file=settings.s3_ca_file if settings.sts_endpoint_url is not None else None,
        cache_dir=settings.credential_cache_dir,
        credentials_file=settings.google_application_credentials,
        refuse_key_file=settings.profile is Profile.CLOUD,
    )


def _build_static_keys(settings: Settings) -> StaticKeys:
    if settings.aws_access_key_id is None or settings.aws_secret_access_key is None:
        raise ConfigError(
            "REVERSE_ETL_AWS_IDENTITY is static_keys, and AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY is not "
            "set. Set both, or use google_oidc or task_role, which need no key."
        )
    token = settings.aws_session_token
    return StaticKeys(
        access_key_id=settings.aws_access_key_id.reveal(),
        secret_access_key=settings.aws_secret_access_key.reveal(),
        session_token=None if token is None else token.reveal(),
    )


def _refuse_stored_keys(settings: Settings) -> None:
    """A key that was left in the environment would be used by the next tool that looks for one."""
    stored = {
        "AWS_ACCESS_KEY_ID": settings.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": settings.aws_secret_access_key,
        "AWS_SESSION_TOKEN": settings.aws_session_token,
    }
    found = [name for name, value in stored.items() if value is not None]
    if found:
        raise ConfigError(
            f"{', '.join(found)} is set, and REVERSE_ETL_AWS_IDENTITY is {settings.aws_identity.value}, "
            "which uses no stored key. Take the key out of the environment; or, for a server of your own, "
            "say so: REVERSE_ETL_AWS_IDENTITY=static_keys."
        )


def build_redis_iam(settings: Settings, *, url: str) -> RedisIam | None:
    """Whom tokens for Redis at `url` are made for; None where the URL itself says who we are.

    `ConfigError` when something is missing, or a token would be shown to the network.
    """
    if settings.redis_auth is RedisAuth.URL:
        return None
    region = settings.redis_iam_region or settings.s3_region
    needed = {
        "REVERSE_ETL_REDIS_IAM_USER": settings.redis_iam_user,
        "REVERSE_ETL_REDIS_IAM_CACHE": settings.redis_iam_cache,
        "REVERSE_ETL_REDIS_IAM_REGION": region,
    }
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise ConfigError(
            f"REVERSE_ETL_REDIS_AUTH is {settings.redis_auth.value}, which needs {', '.join(missing)} as "
            "well (docs/redis.md)."
        )
    parts = urlsplit(url)
    if parts.scheme != "rediss" or parts.username or parts.password:
        raise ConfigError(
            f"REVERSE_ETL_REDIS_AUTH is {settings.redis_auth.value}, and REVERSE_ETL_REDIS_URL does not "
            "begin with rediss://, or holds a user or password. Tokens go over TLS alone, and stand in "
            "place of both: rediss://HOST:6379/0."
        )
    if not all(_REDIS_NAME.fullmatch(name or "") for name in list(needed.values())[:2]):
        raise ConfigError(
            "REVERSE_ETL_REDIS_IAM_USER or REVERSE_ETL_REDIS_IAM_CACHE is no name of AWS: letters, digits "
            "and dashes, 40 of them at most. The cache is named, not addressed."
        )
    if not _REGION.fullmatch(region or ""):
        raise ConfigError(
            "REVERSE_ETL_REDIS_IAM_REGION is not a region of AWS, such as eu-central-1."
        )
    return RedisIam(
        service="memorydb" if settings.redis_auth is RedisAuth.MEMORYDB_IAM else "elasticache",
        user=settings.redis_iam_user or "",
        cache=settings.redis_iam_cache or "",
        region=region or "",
        is_serverless=settings.redis_iam_serverless,
    )


def build_key_source(settings: Settings) -> Secret | Path | SecretOptions | None:
    """Where the masking keys come from: their text, a file, a secret in a cloud; None: there are none.

    `ConfigError` when more than one way is set: which of them counts would be anybody's guess.
    """
    ways = {
        "REVERSE_ETL_MASKING_KEY": settings.masking_key,
        "REVERSE_ETL_MASKING_KEY_FILE": settings.masking_key_file,
        "REVERSE_ETL_MASKING_KEY_SECRET": settings.masking_key_secret,
    }
    found = [name for name, value in ways.items() if value is not None]
    if len(found) > 1:
        raise ConfigError(
            f"{' and '.join(found)} are set, and each says where the masking key comes from. Unset all but "
            "one; previous keys stand in the same place as the current one (docs/masking.md)."
        )
    if settings.masking_key_secret is not None:
        return _build_secret_options(settings.masking_key_secret, settings)
    return settings.masking_key or settings.masking_key_file


def build_refused_fingerprints(settings: Settings) -> dict[str, str]:
    """Each fingerprint that no masking key may have here, and its environment; '' where none is named."""
    pairs = (item.rpartition("=") for item in settings.refused_key_fingerprints)
    return {fingerprint: environment for environment, _, fingerprint in pairs}


def _build_secret_options(address: str, settings: Settings) -> SecretOptions:
    scheme, _, rest = address.partition("://")
    endpoint = settings.masking_key_secret_endpoint_url
    if endpoint is not None:
        _check_secret_endpoint(endpoint)
    if scheme == "gcp-secret":
        name = _GOOGLE_SECRET.fullmatch(rest)
        if name is not None:
            location = name["location"]
            host = f"{location}.rep." if location else ""
            return GoogleSecret(
                name=rest,
                endpoint_url=endpoint or f"https://secretmanager.{host}googleapis.com",
                refuse_key_file=settings.profile is Profile.CLOUD,
            )
    if scheme == "aws-secret":
        return _build_aws_secret(rest, settings, endpoint)
    raise ConfigError(
        "REVERSE_ETL_MASKING_KEY_SECRET is neither gcp-secret://projects/P/secrets/S/versions/V (V is a "
        "number, or latest) nor aws-secret://<name or ARN>?region=R."
    )


def _build_aws_secret(rest: str, settings: Settings, endpoint: str | None) -> AwsSecret:
    secret_id, _, query = rest.partition("?")
    name = _AWS_SECRET.fullmatch(secret_id)
    asked = {key: values[-1] for key, values in parse_qs(query, keep_blank_values=True).items()}
    if name is None or not asked.keys() <= {"region", "version_id"}:
        raise ConfigError(
            "REVERSE_ETL_MASKING_KEY_SECRET is not aws-secret://<name or ARN>, after which ?region= and "
            "&version_id= may follow. A name has letters, digits and any of /_+=.@-."
        )
    version_id = asked.get("version_id")
    if version_id is not None and not _AWS_VERSION.fullmatch(version_id):
        raise ConfigError(
            "REVERSE_ETL_MASKING_KEY_SECRET names a version_id that is none: 32 to 64 letters, digits and "
            "dashes, as aws secretsmanager list-secret-version-ids prints them."
        )
    region = _choose_region(asked, of_arn=name["region"]) or settings.s3_region
    if region is None or not _REGION.fullmatch(region):
        raise ConfigError(
            "REVERSE_ETL_MASKING_KEY_SECRET does not say in which region of AWS the secret is. Add "
            "?region=eu-central-1, or give the secret's ARN."
        )
    return AwsSecret(
        secret_id=secret_id,
        region=region,
        version_id=version_id,
        endpoint_url=endpoint,
    )


def _choose_region(asked: Mapping[str, str], *, of_arn: str | None) -> str | None:
    region = asked.get("region")
    if region and of_arn and region != of_arn:
        raise ConfigError(
            f"REVERSE_ETL_MASKING_KEY_SECRET says region '{region}' and holds the ARN of a secret in "
            f"'{of_arn}'. Leave the region out, or mend the ARN."
        )
    return region or of_arn


def _check_secret_endpoint(url: str) -> None:
    """Tokens and keys go over TLS, or stay on this machine."""
    parts = urlsplit(url)
    is_near = parts.hostname in ("localhost", "127.0.0.1", "::1")
    is_plain = parts.username is None and not parts.query and not parts.fragment
    if parts.scheme == "https" and parts.hostname and is_plain:
        return
    if parts.scheme != "http" or not is_near or not is_plain:
        raise ConfigError(
            "REVERSE_ETL_MASKING_KEY_SECRET_ENDPOINT_URL is not a URL that begins with https://, such as "
            "https://secretmanager-private.p.googleapis.com: what is fetched there is a key."
        )


def _build_session_name(environment: str, run_id: str) -> str:
    """`reverse-etl-<environment>-<run>`, of the letters that STS takes."""
    letters = re.sub(r"[^A-Za-z0-9-]", "", run_id)[:_RUN_ID_LETTERS]
    return f"reverse-etl-{environment}-{letters or 'run'}"
