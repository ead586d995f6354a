"""Bytes that came from a client and are not taken yet."""


class Inbox:
    """Takes pieces as they come, gives bytes from the front.

    A piece that comes to an empty inbox is kept as it is: mostly it is one whole request, and nothing of it
    is copied but the body. Only what is cut or piled up is joined.
    """

    __slots__ = ("_bytes", "_start")

    def __init__(self) -> None:
        self._bytes: bytes | bytearray = b""
        self._start = 0

    def __len__(self) -> int:
        return len(self._bytes) - self._start

    def add(self, piece: bytes) -> None:
        """Put a piece behind all else."""
        if self._start == len(self._bytes):
            self._bytes, self._start = piece, 0
            return
        if not isinstance(self._bytes, bytearray):
            self._bytes = bytearray(memoryview(self._bytes)[self._start :])
        else:
            del self._bytes[: self._start]
        self._bytes += piece
        self._start = 0

    def find(self, wanted: bytes, *, within: int) -> int | None:
        """How far from the front `wanted` stands, if it is whole within so many bytes."""
        place = self._bytes.find(wanted, self._start, self._start + within)
        return None if place < 0 else place - self._start

    def take(self, size: int) -> bytes:
        """The first `size` bytes, which have to be there."""
        start, self._start = self._start, self._start + size
        if isinstance(self._bytes, bytes):
            return self._bytes[start : self._start]
        with memoryview(self._bytes) as view:
            return bytes(view[start : self._start])

    def skip(self, size: int) -> None:
        """Pass over the first `size` bytes, which have to be there."""
        self._start += size

    def clear(self) -> None:
        """Forget everything."""
        self._bytes, self._start = b"", 0
