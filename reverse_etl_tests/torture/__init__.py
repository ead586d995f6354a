"""A torture test of "never half a day": writers die, Redis goes away, and readers check every answer."""
