"""What obstore has no call for: uploads in parts that nobody finished, and where a bucket is.

Every session is a botocore one of our own, with keys given to it: no profile, no file, no `AWS_*`
variable and no metadata server has a say. It is made for one sweep and not kept: a sweep is over long
before its credentials are.
"""

import contextlib
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader

from reverse_etl.landing.s3.clients import Timeouts
from reverse_etl.landing.s3.place import Place
from reverse_etl.model import AwsCredentials
from reverse_etl.quiet import keep_secrets_out_of_logs

_NO_VALUE = (None, None, None, None)
# What a session would look up in the environment or in a home directory, and a client asks it for.
_OWN_VALUES = {"profile": _NO_VALUE, "config_file": _NO_VALUE, "credentials_file": _NO_VALUE}
_REGION_HEADER = "x-amz-bucket-region"
_REGION = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload in parts that is neither completed nor aborted; `initiated_at` is in epoch seconds."""

    key: str
    upload_id: str
    initiated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPage:
    """A page of a listing, and the markers that the next one starts from; empty after the last."""

    uploads: tuple[Upload, ...]
    markers: dict[str, str]


class Control:
    """Calls by boto's client: one attempt each, errors as it raises them."""

    def __init__(self, place: Place, client: Any) -> None:
        self._place = place
        self._client = client

    def list_uploads(self, prefix: str, markers: dict[str, str]) -> UploadPage:
        """A page of the unfinished uploads whose keys begin with `prefix`."""
        answer = self._client.list_multipart_uploads(
            Bucket=self._place.options.bucket, Prefix=prefix, **markers
        )
        uploads = tuple(
            Upload(
                key=item["Key"],
                upload_id=item["UploadId"],
                initiated_at=item["Initiated"].timestamp(),
            )
            for item in answer.get("Uploads", ())
        )
        if not answer.get("IsTruncated"):
            return UploadPage(uploads=uploads, markers={})
        markers = {
            "KeyMarker": answer["NextKeyMarker"],
            "UploadIdMarker": answer["NextUploadIdMarker"],
        }
        return UploadPage(uploads=uploads, markers=markers)

    def abort(self, upload: Upload) -> bool:
        """Remove an upload and its parts; False when it is gone already."""
        try:
            self._client.abort_multipart_upload(
                Bucket=self._place.options.bucket, Key=upload.key, UploadId=upload.upload_id
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "NoSuchUpload":
                return False
            raise
        return True

    def find_region(self) -> str | None:
        """Where S3 says the bucket is, be it in a refusal; None if it does not say."""
        try:
            answer = self._client.head_bucket(Bucket=self._place.options.bucket)
        except ClientError as error:
            answer = error.response
        except BotoCoreError:
            return None
        region = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get(_REGION_HEADER, "")
        return region if _REGION.fullmatch(region) else None


@contextlib.contextmanager
def open_control(
    place: Place, credentials: Callable[[], AwsCredentials], timeouts: Timeouts
) -> Iterator[Control]:
    """A client with the credentials of this moment."""
    keep_secrets_out_of_logs()
    signer = credentials()
    session = botocore.session.Session(session_vars=_OWN_VALUES)
    session.register_component("data_loader", _keep_loader())
    client = session.create_client(
        "s3",
        region_name=place.options.region,
        endpoint_url=place.service_url,
        verify=_choose_authorities(place),
        aws_access_key_id=signer.access_key_id,
        aws_secret_access_key=signer.secret_access_key,
        aws_session_token=signer.session_token,
        config=_build_config(place, timeouts),
    )
    client.meta.events.register("before-call.s3", _stay_here)
    try:
        yield Control(place, client)
    finally:
        client.close()


def _choose_authorities(place: Place) -> str | bool:
    """The file of the authorities to trust: as for data, the machine's own; True: those boto brings."""
    if place.options.ca_file is not None:
        return str(place.options.ca_file)
    return ssl.get_default_verify_paths().cafile or True


@cache
def _keep_loader() -> Loader:
    # One for all sweeps: the description of S3 takes a third of a second to read.
    return Loader()


def _build_config(place: Place, timeouts: Timeouts) -> Config:
    return Config(
        signature_version="s3v4",
        connect_timeout=timeouts.connect_seconds,
        read_timeout=timeouts.request_seconds,
        retries={"total_max_attempts": 1, "mode": "standard"},
        defaults_mode="legacy",
        ignore_configured_endpoint_urls=True,
        use_dualstack_endpoint=False,
        use_fips_endpoint=False,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "virtual" if place.is_virtual_hosted else "path"},
    )


def find_region(
    place: Place, credentials: Callable[[], AwsCredentials], timeouts: Timeouts
) -> str | None:
    """The region that S3 says the bucket is in; None if it does not say."""
    with open_control(place, credentials, timeouts) as control:
        return control.find_region()


def _stay_here(params: dict[str, Any], **_: object) -> None:
    # Answered that a bucket is elsewhere, the client would go there by itself; the data would not.
    params["context"]["s3_redirect"]["redirected"] = True
