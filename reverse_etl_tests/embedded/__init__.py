"""Tests of what a fresh machine is given: the sample warehouse and the embedded server."""
