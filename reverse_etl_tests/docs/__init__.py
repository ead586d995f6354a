"""The pages in docs/: what they show is run, what they link to is there."""
