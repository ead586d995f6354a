"""Where rows come from: the protocol of a source, its forms, and the query language they share."""
