"""One module a command, each with `execute(arguments)`, which returns the exit code."""
