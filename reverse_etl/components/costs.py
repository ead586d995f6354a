"""What a step cost, estimated from what it moved: only where it is known who charges for it. Pure.

Prices of BigQuery and of Google's network are settings, as `reverse-etl plan` takes them; S3's are list
prices. Bytes inside one cloud's region cost nothing. A run that found its work done has no charges.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reverse_etl.components.links import is_amazon
from reverse_etl.model import (
    CacheReceipt,
    Landed,
    LandedObject,
    Manifest,
    MaskedReceipt,
    Snapshot,
)
from reverse_etl.settings import AwsIdentity, Settings

_GIB = 1 << 30
_TIB = 1 << 40
# S3 Standard in us-east-1, https://aws.amazon.com/s3/pricing; other regions take up to half as much more.
_USD_PER_PUT = 0.005 / 1000
_USD_PER_GET = 0.0004 / 1000
_USD_PER_GIB_OUT_OF_AWS = 0.09
# Objects a listing names in one answer; it costs as much as a PUT.
_LISTED_AT_ONCE = 1000
# Beside a version's objects: the manifest, the day's pointer, and the attempt's announcement.
_DOCUMENTS = 3
_DIGITS = 9
_BIGQUERY = "bigquery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One line of a bill. `quantity` counts bytes where `is_bytes`, else requests."""

    what: str
    quantity: int
    is_bytes: bool
    usd: float


def list_masked_charges(receipt: MaskedReceipt, settings: Settings) -> tuple[Charge, ...]:
    """Reading the snapshot, carrying it to AWS, and the requests to S3."""
    if receipt.outcome is Landed.UNCHANGED:
        return ()
    return (
        *_charge_read(receipt.snapshot, settings),
        *_charge_egress(receipt, settings),
        *(_charge_landing(receipt) if is_amazon(receipt.location, settings) else ()),
    )


def list_cache_charges(receipt: CacheReceipt, settings: Settings) -> tuple[Charge, ...]:
    """The requests to S3 that reading the version took, and its way out of AWS if that is where it went."""
    if receipt.rows_loaded is None or not is_amazon(settings.store_url, settings):
        return ()
    objects, size = len(receipt.manifest.objects), receipt.manifest.bytes
    gets = objects + 1  # the sample that the need of memory is measured by
    charges = [
        Charge(what="S3 GET requests", quantity=gets, is_bytes=False, usd=gets * _USD_PER_GET)
    ]
    if settings.aws_identity is AwsIdentity.GOOGLE_OIDC:
        charges.append(_charge_way_back(size))
    return tuple(charges)


def add_up(charges: Iterable[Charge]) -> float | None:
    """The sum in USD; None where nothing is known to be charged."""
    amounts = [charge.usd for charge in charges]
    return round(sum(amounts), _DIGITS) if amounts else None


def _charge_read(snapshot: Snapshot | None, settings: Settings) -> Iterator[Charge]:
    if snapshot is None or snapshot.source_kind != _BIGQUERY:
        return
    yield Charge(
        what="Storage Read API",
        quantity=snapshot.bytes,
        is_bytes=True,
        usd=snapshot.bytes / _TIB * settings.bigquery_read_price_per_tib,
    )


def _charge_egress(receipt: MaskedReceipt, settings: Settings) -> Iterator[Charge]:
    """What leaves Google's network: the objects where the pipeline runs there, or else the snapshot.

    With keys that somebody stored nobody knows where it runs.
    """
    snapshot = receipt.snapshot
    if snapshot is None or snapshot.source_kind != _BIGQUERY:
        return
    if not is_amazon(receipt.location, settings):
        return
    match settings.aws_identity:
        case AwsIdentity.GOOGLE_OIDC:
            size = sum(item.bytes for item in _list_objects(receipt.manifest))
        case AwsIdentity.TASK_ROLE:
            size = snapshot.bytes
        case AwsIdentity.STATIC_KEYS:
            return
    yield Charge(
        what="out of Google's network",
        quantity=size,
        is_bytes=True,
        usd=size / _GIB * settings.egress_price_per_gib,
    )
    if settings.aws_identity is AwsIdentity.GOOGLE_OIDC and receipt.proof == "read_back":
        yield _charge_way_back(size)


def _charge_landing(receipt: MaskedReceipt) -> Iterator[Charge]:
    objects = len(_list_objects(receipt.manifest))
    writes = objects + _DOCUMENTS + -(-objects // _LISTED_AT_ONCE)
    yield Charge(
        what="S3 PUT and LIST requests",
        quantity=writes,
        is_bytes=False,
        usd=writes * _USD_PER_PUT,
    )
    if receipt.proof == "read_back":
        yield Charge(
            what="S3 GET requests", quantity=objects, is_bytes=False, usd=objects * _USD_PER_GET
        )


def _charge_way_back(size: int) -> Charge:
    return Charge(
        what="out of AWS", quantity=size, is_bytes=True, usd=size / _GIB * _USD_PER_GIB_OUT_OF_AWS
    )


def _list_objects(manifest: Manifest) -> tuple[LandedObject, ...]:
    return manifest.objects + manifest.quarantine
