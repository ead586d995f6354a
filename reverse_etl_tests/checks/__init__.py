"""Each verdict: good when all is well, and seen to fail."""
