"""Who one is, on loopback: Google's metadata server and signing keys, AWS' STS, and the sessions it gives."""
