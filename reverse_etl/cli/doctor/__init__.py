"""Whether a run could succeed: named steps in order, each with what was found and what to do."""
