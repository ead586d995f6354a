"""Whether a version's objects are all there, asked quickly also where there are very many."""

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

from reverse_etl.landing.layout import version_prefix
from reverse_etl.landing.proof import is_whole
from reverse_etl.landing.store import ObjectStore
from reverse_etl.model import LandedObject, Manifest

# What S3 lists in one answer; a listing of more is a chain of answers, one after the other.
_PAGE = 1000
_SHARED_CHARACTERS = 3


def is_wholly_landed(store: ObjectStore, manifest: Manifest) -> bool:
    """Whether every object of a committed version is still there, of its size.

    Names are listed by what they begin with, many at once: a rollback waits for this.
    """
    if store.concurrency == 1 or len(manifest.objects) <= _PAGE:
        return is_whole(store, manifest)
    prefix = version_prefix(manifest.sync, manifest.version)
    shares: dict[str, list[LandedObject]] = defaultdict(list)
    for item in manifest.objects:
        shares[item.name[:_SHARED_CHARACTERS]].append(item)

    def is_there(start: str) -> bool:
        listed = {item.name: item.bytes for item in store.list_objects(prefix + start)}
        return all(listed.get(prefix + item.name) == item.bytes for item in shares[start])

    with ThreadPoolExecutor(store.concurrency, thread_name_prefix="list") as pool:
        return all(pool.map(is_there, shares))
