#!/usr/bin/env bash
# Makes the virtual environment and installs the lock into it: with uv when it is there (seconds), with pip otherwise.
set -euo pipefail
: "${PYTHON:=python3}" "${VENV:=.venv}" "${LOCK:=requirements/lock.txt}"

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  found=$("$PYTHON" --version 2>/dev/null || echo "no Python")
  echo "reverse_etl needs Python 3.11 or newer; '$PYTHON' is: $found. Try: make PYTHON=python3.11 ..." >&2
  exit 2
fi

log="$VENV/install.log"
if command -v uv >/dev/null 2>&1; then
  echo "Setting up $VENV with uv (about 15 s the first time) ..."
  [ -x "$VENV/bin/python" ] || uv venv --quiet --python "$PYTHON" "$VENV"
  install=(uv pip install --quiet --python "$VENV/bin/python")
else
  echo "Setting up $VENV with pip (about 90 s the first time; with uv on the PATH about 15 s) ..."
  # Debian and Ubuntu ship ensurepip apart from Python: say so in one line instead of a traceback.
  [ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV" ||
    { echo "'$PYTHON -m venv' failed. On Debian and Ubuntu: apt install python3-venv, or put uv on the PATH." >&2; exit 2; }
  install=("$VENV/bin/python" -m pip install --quiet --disable-pip-version-check)
fi
"${install[@]}" -r "$LOCK" >"$log" 2>&1 && "${install[@]}" --no-deps --editable . >>"$log" 2>&1 ||
  { tail -n 20 "$log" >&2; echo "Installing the pinned dependencies failed; the whole output is in $log." >&2; exit 1; }
echo "Ready: $VENV"
