"""The room that lands a version in the object store and owns its formats: names, bytes, commit."""
