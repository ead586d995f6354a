#!/usr/bin/env bash
# Resolves pyproject.toml into exact pins, without any registry address (a uv.lock would record one).
set -euo pipefail
lock=${1:-requirements/lock.txt}
uv pip compile --quiet --universal --python-version 3.11 --extra dev \
  --no-header --no-emit-index-url --no-emit-find-links --no-annotate \
  --output-file "$lock.new" pyproject.toml
{
  echo "# Exact pins of everything that is installed. Made by 'make lock' from pyproject.toml; do not edit by hand."
  cat "$lock.new"
} >"$lock"
rm -f "$lock.new"
