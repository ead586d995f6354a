"""Warming: a version made live from the address of its manifest, with nothing declared."""

import re
from dataclasses import dataclass

from reverse_etl.errors import ConfigError, IntegrityError, NotFoundError
from reverse_etl.landing.documents import read_manifest
from reverse_etl.landing.layout import (
    MANIFEST,
    check_sync_name,
    is_version,
    manifest_name,
    split_version,
)
from reverse_etl.model import CacheReceipt
from reverse_etl.progress import Report
from reverse_etl.runtime import Runtime
from reverse_etl.stages.publishing import publish_manifest

# In the URL of a file the equals sign may be written as Path.as_uri() does it.
_ADDRESS = re.compile(
    r"(?:(?P<root>(?:s3|file)://.+)/)?"
    rf"(?P<sync>[^/]+)/dt(?:=|%3D)(?P<day>[^/]+)/(?P<version>[^/]+)/{re.escape(MANIFEST)}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestAddress:
    """Which manifest, and the store that it lies in, as REVERSE_ETL_STORE_URL would name that."""

    store_url: str
    sync: str
    version: str

    @property
    def partition(self) -> str:
        """The day that it is of."""
        return split_version(self.version)[0]


def parse_address(address: str, *, store_url: str) -> ManifestAddress:
    """`s3://...`, `file:///...`, or a name below `store_url`; `ConfigError` outside of the layout."""
    found = _ADDRESS.fullmatch(address)
    version = "" if found is None else found["version"]
    if found is None or not is_version(version) or split_version(version)[0] != found["day"]:
        raise ConfigError(
            "This is not the address of a manifest. One is s3://BUCKET/PREFIX/SYNC/dt=DAY/VERSION/"
            f"{MANIFEST}, the same with file:///FOLDER, or SYNC/dt=DAY/VERSION/{MANIFEST} in the store "
            "of REVERSE_ETL_STORE_URL; the version begins with the day."
        )
    return ManifestAddress(
        store_url=found["root"] or store_url, sync=check_sync_name(found["sync"]), version=version
    )


def warm_cache(
    address: ManifestAddress, runtime: Runtime, *, keep_versions: int, report: Report
) -> CacheReceipt:
    """Load, verify and publish the version, unless it is live, or a later one is."""
    try:
        manifest = read_manifest(runtime.store, address.sync, address.version)
    except NotFoundError:
        raise NotFoundError(
            f"There is no committed manifest '{manifest_name(address.sync, address.version)}' in "
            f"{runtime.store.location}. Look at the address; a version without a manifest was never "
            "committed, or was removed."
        ) from None
    if (manifest.sync, manifest.version) != (address.sync, address.version):
        raise IntegrityError(
            f"The manifest at this address is of version '{manifest.version}' of sync "
            f"'{manifest.sync}'. It was copied there by hand; nothing was loaded. Give the address that "
            "it was written at."
        )
    return publish_manifest(manifest, runtime, keep_versions=keep_versions, report=report)
