"""Tests of the application's reader."""
