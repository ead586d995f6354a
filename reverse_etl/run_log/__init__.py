"""The run log: one row about each step of each run, for a table in the source. Knows no source."""
