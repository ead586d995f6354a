"""The command line: commands, errors, help, what people see."""
