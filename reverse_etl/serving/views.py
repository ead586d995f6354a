"""A head as one reader may use it: whether it accepts the policy, and how a key becomes a Redis key."""

from collections.abc import Collection
from dataclasses import dataclass, field

from reverse_etl.cache.layout import record_prefix
from reverse_etl.errors import ConfigError, PolicyError
from reverse_etl.masking.key_ring import KeyRing
from reverse_etl.masking.tokens import make_token
from reverse_etl.model import Head
from reverse_etl.serving.keys import Key, encode_key


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reader was told of keys and policies, once: None accepts every policy."""

    keys: KeyRing | None = field(default=None, repr=False)
    policies: frozenset[str] | None = None


def build_terms(keys: KeyRing | None, require_policy: str | Collection[str] | None) -> Terms:
    """The terms in a reader's arguments; one fingerprint or several."""
    if require_policy is None:
        return Terms(keys)
    named = [require_policy] if isinstance(require_policy, str) else list(require_policy)
    policies = frozenset(named)
    if not policies or not all(policies):
        raise ConfigError(
            "require_policy names no policy. Give the fingerprint of the policy that was reviewed, as "
            "`reverse-etl versions SYNC` shows it, or several."
        )
    return Terms(keys, policies)


class View:
    """A head, and what is computed from it once instead of with every key."""

    __slots__ = ("_is_plain", "_terms", "head", "prefix")

    def __init__(self, sync: str, head: Head, terms: Terms) -> None:
        self.head = head
        #: What the Redis keys of the version's records begin with.
        self.prefix = record_prefix(sync, head.version).encode()
        self._terms = terms
        self._is_plain = self._accepts_policy() and (
            terms.keys is None or (head.key_token is None and head.policy_fingerprint != "")
        )

    def name_of(self, key: Key) -> bytes:
        """The Redis key of a key's record; raises as `key_bytes` does."""
        if self._is_plain and type(key) is str:
            try:
                return self.prefix + key.encode()
            except UnicodeEncodeError:
                pass  # told below, without the key
        return self.prefix + self.key_bytes(key)

    def key_bytes(self, key: Key) -> bytes:
        """The canonical bytes that a key landed as.

        `ConfigError` for what cannot be a key, and when the masking key that is needed is not among the
        reader's; `PolicyError` when the version was masked by another policy than is required.
        """
        encoded = encode_key(key)
        if self._is_plain:
            return encoded
        if not self._accepts_policy():
            raise self._refuse_policy()
        token, keys = self.head.key_token, self._terms.keys
        if token is None or keys is None:
            self._require_word()
            return encoded
        text = encoded.decode()
        return make_token(token, text, masking_key=keys.find(token.key_id)).encode()

    def _require_word(self) -> None:
        """A head that names no policy is of before heads said how keys became tokens."""
        if self._terms.keys is not None and not self.head.policy_fingerprint:
            raise ConfigError(
                f"The head of version '{self.head.version}' does not say whether its keys are tokens; it was "
                "written before heads said so. Publish a version again, or give this reader no masking keys "
                "and ask by the keys that landed."
            )

    def _accepts_policy(self) -> bool:
        policies = self._terms.policies
        return policies is None or self.head.policy_fingerprint in policies

    def _refuse_policy(self) -> PolicyError:
        found = self.head.policy_fingerprint
        return PolicyError(
            f"Version '{self.head.version}' is live and was masked by policy "
            f"{found or 'that its head does not name'}; this reader requires "
            f"{' or '.join(sorted(self._terms.policies or ()))}. Nothing is read of it. Review the new "
            "policy and require it too, or publish a version of the required one."
        )
