"""What a fresh machine needs and does not have: a sample warehouse and a Redis server; the demo."""
