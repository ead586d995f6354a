"""How a query's text is followed from its output columns back to the tables. Pure: no client, no I/O."""
