"""Tests of what lies in the object store."""
