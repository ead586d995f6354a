"""Dagster's pages in headless Chromium, as the people who operate this see them."""
