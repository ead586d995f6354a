"""The scene for the tests of these servers themselves."""

from reverse_etl_tests.identity.fixtures import clean_aws, scene, tls, tls_scene

__all__ = ["clean_aws", "scene", "tls", "tls_scene"]
