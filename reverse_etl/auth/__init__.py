"""Who we are for AWS: credentials without a stored key, shared by every thread and client."""
