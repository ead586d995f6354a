"""The HTTP API, served by its own server on loopback."""
