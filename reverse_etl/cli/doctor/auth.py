"""Steps about AWS: who we are there, how we come to be it, and what that lets us do with the store.

Nothing that is shown opens anything: of the token its claims, of the session its end.
"""

from collections.abc import Callable, Collection
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from reverse_etl.auth.options import GoogleOidc, StaticKeys, TaskRole
from reverse_etl.cli.doctor.checkup import Checkup, SkippedError
from reverse_etl.cli.doctor.prescription import Prescription, prescribe
from reverse_etl.cli.doctor.s3_probe import S3Probe
from reverse_etl.errors import ConfigError
from reverse_etl.landing.layout import build_id
from reverse_etl.model import AwsCredentials
from reverse_etl.room_options import build_store_options
from reverse_etl.runtime import Runtime
from reverse_etl.settings import AwsIdentity, Profile

if TYPE_CHECKING:
    from reverse_etl.auth.id_token import IdToken
    from reverse_etl.landing.s3.place import Place

_IDENTITY = "aws identity"
_GOOGLE = "google identity"
_CLAIMS = "google token"
#: What everything else at AWS rests on.
SESSION = "aws session"
_BUCKET = "s3 bucket"
_PUT = "s3 put"
_GET = "s3 get"
_LIST = "s3 list"

#: What is looked at on the object that was put.
_PROBES: tuple[tuple[str, Callable[[S3Probe], str]], ...] = (
    ("s3 clock", S3Probe.compare_clocks),
    (_GET, S3Probe.get),
    ("s3 conditional put", S3Probe.put_conditionally),
    ("s3 checksum", S3Probe.put_corrupted),
    (_LIST, S3Probe.find_listed),
    ("s3 absent object", S3Probe.find_absent),
    ("s3 unfinished uploads", S3Probe.leave_upload),
    ("s3 delete", S3Probe.delete),
)

_ISSUERS = frozenset({"accounts.google.com", "https://accounts.google.com"})


def uses_aws(runtime: Runtime) -> bool:
    """Whether the steps belong to every doctor of this deployment: in the cloud, with a store in S3."""
    settings = runtime.settings
    return settings.profile is Profile.CLOUD and settings.store_url.startswith("s3://")


def examine_auth(checkup: Checkup, runtime: Runtime) -> Prescription:
    """Every step in order, and the policies that would make them pass."""
    is_google = runtime.settings.aws_identity is AwsIdentity.GOOGLE_OIDC
    with _Findings(runtime) as found:
        steps: list[tuple[str, Callable[[], str], Collection[str]]] = [
            (_IDENTITY, found.examine_identity, ()),
            (_GOOGLE, found.examine_google, [_IDENTITY]),
            (_CLAIMS, found.examine_claims, [_GOOGLE] if is_google else [_IDENTITY]),
            (SESSION, found.examine_session, [_CLAIMS] if is_google else [_IDENTITY]),
            (_BUCKET, found.examine_bucket, ()),
            (_PUT, found.examine_put, [SESSION, _BUCKET]),
        ]
        for step, examine, needs in steps:
            checkup.run(step, examine, needs=needs)
        for step, look in _PROBES:
            checkup.run(step, partial(found.examine_object, look), needs=[_PUT])
        # Otherwise absence is denied for want of another grant, and nothing has to be opened wider for it.
        may_read = checkup.has_passed(_GET) and checkup.has_passed(_LIST)
        return found.prescribe(may_read=may_read)


class _Findings:
    """What one step found and a later one needs."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._token: IdToken | None = None
        self._credentials: AwsCredentials | None = None
        self._place: Place | None = None
        self._probe: S3Probe | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *args: object) -> None:
        self._stack.close()

    def examine_identity(self) -> str:
        """Which one is configured, and whether it is configured whole."""
        options = self._runtime.auth_options
        # Looks at the options; nobody is asked yet.
        _ = self._runtime.credentials
        match options:
            case GoogleOidc():
                return (
                    f"google_oidc: becomes role '{options.role_arn}' in {options.region} with a token for "
                    f"audience '{options.audience}'"
                )
            case TaskRole():
                return "task_role: the role of the ECS task this runs in"
            case StaticKeys():
                return "static_keys: the key of AWS_ACCESS_KEY_ID, which somebody has to keep and renew"

    def examine_google(self) -> str:
        """Whether this process is anybody for Google."""
        from reverse_etl.auth.google import fetch_id_token  # noqa: PLC0415 - a cloud's SDK

        options = self._google_options
        self._token = fetch_id_token(options)
        if options.credentials_file is None:
            return "Google's metadata server gave an identity token"
        return "the file that GOOGLE_APPLICATION_CREDENTIALS names gave an identity token"

    def examine_claims(self) -> str:
        """What the token says, which is what a trust policy is held against."""
        options, token = self._google_options, self._token
        assert token is not None  # noqa: S101 - the step is needed by this one
        said = f"The token says: {token.describe()}."
        if token.iss not in _ISSUERS:
            raise ConfigError(
                f"{said} Its issuer is not https://accounts.google.com, so AWS will not take it. See what "
                "answers at the metadata server's address."
            )
        if token.sub is None or token.aud != options.audience:
            raise ConfigError(
                f"{said} Expected were a sub, and aud '{options.audience}' (REVERSE_ETL_OIDC_AUDIENCE). See "
                "what answers at the metadata server's address: it hands out tokens made for others."
            )
        if token.exp is None or token.exp <= self._runtime.now():
            raise ConfigError(
                f"{said} By this machine's clock ({self._runtime.now():%Y-%m-%dT%H:%M:%SZ}) it has run out, "
                "though it was fetched just now. Set the clock right (NTP)."
            )
        return f"{said} A trust policy sees aud as accounts.google.com:oaud, azp as accounts.google.com:aud"

    def examine_session(self) -> str:
        """Whether AWS takes the identity for what it is configured to become."""
        options = self._runtime.auth_options
        if isinstance(options, GoogleOidc):
            from reverse_etl.auth.clock import SYSTEM_CLOCK  # noqa: PLC0415 - with its room, late
            from reverse_etl.auth.sts import exchange_token  # noqa: PLC0415 - a cloud's SDK

            assert self._token is not None  # noqa: S101 - the step is needed by this one
            self._credentials = exchange_token(self._token, options, clock=SYSTEM_CLOCK)
            what = f"STS gave a session of the role, as '{options.session_name}'"
        else:
            self._credentials = self._runtime.credentials.get()
            what = "credentials are there"
        end = self._credentials.expires_at
        return f"{what}, {'without an end' if end is None else f'until {end:%Y-%m-%dT%H:%M:%SZ}'}"

    def examine_bucket(self) -> str:
        """Where the store lies."""
        options = build_store_options(self._runtime.settings)
        if isinstance(options, Path):
            raise SkippedError(
                "REVERSE_ETL_STORE_URL is a directory; s3://bucket/prefix is examined"
            )
        from reverse_etl.landing.s3.place import Place  # noqa: PLC0415 - with its room, late

        self._place = Place(options)
        return f"{self._place.location} in {options.region}, at {self._place.service_url}"

    def examine_put(self) -> str:
        """Whether the session may write there."""
        assert self._place is not None  # noqa: S101 - the step is needed by this one
        assert self._credentials is not None  # noqa: S101 - and this one as well
        name = build_id(self._runtime.now())
        self._probe = self._stack.enter_context(S3Probe(self._place, self._credentials, name=name))
        return self._probe.put()

    def examine_object(self, look: Callable[[S3Probe], str]) -> str:
        """One thing more about the object that was put."""
        assert self._probe is not None  # noqa: S101 - the put is needed by these steps
        return look(self._probe)

    def prescribe(self, *, may_read: bool) -> Prescription:
        """The policies, with the token's own sub if there was one.

        Who may get and list what is there, and is not told what is not, needs a wider listing.
        """
        hides_absence = self._probe is not None and self._probe.hides_absence
        return prescribe(
            self._runtime.settings,
            sub=None if self._token is None else self._token.sub,
            kms_key_arn=None if self._probe is None else self._probe.kms_key_arn,
            confine_listing=not (may_read and hides_absence),
        )

    @property
    def _google_options(self) -> GoogleOidc:
        options = self._runtime.auth_options
        if not isinstance(options, GoogleOidc):
            raise SkippedError(
                f"not needed: REVERSE_ETL_AWS_IDENTITY is {self._runtime.settings.aws_identity}"
            )
        return options
