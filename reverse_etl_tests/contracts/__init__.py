"""One suite for all forms of a protocol; a test module subclasses it and gives the form."""

import pytest

# A contract is no test module by name: without this a failing assert would say nothing.
pytest.register_assert_rewrite("reverse_etl_tests.contracts.store")
