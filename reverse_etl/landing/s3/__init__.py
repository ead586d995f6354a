"""The object store on S3 and what speaks its protocol."""
