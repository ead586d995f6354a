"""BigQuery's Storage Read API, version 1, over gRPC."""
