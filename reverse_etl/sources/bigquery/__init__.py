"""BigQuery: a query job pins into a staging table, the Storage Read API streams it out."""
