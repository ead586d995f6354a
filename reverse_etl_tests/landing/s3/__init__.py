"""The object store on S3, against servers on loopback."""
