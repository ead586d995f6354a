"""The HTTP API: the reader for applications that are not written in Python. See docs/http.md."""
