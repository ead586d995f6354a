"""An S3 to test against: HTTP and TLS on loopback, objects in memory, for unmodified clients.

`server.S3Server` is the way in; `process.S3Process` runs one in a process of its own.
"""
