"""Speed and peak memory of each step, measured on invented users, beside named alternatives."""
