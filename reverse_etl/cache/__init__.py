"""The cache room: a version's records in Redis, proved to the byte, and the heads that name it.

It needs a manifest, an object store and Redis, and no more. What lies where: `layout`.
"""
