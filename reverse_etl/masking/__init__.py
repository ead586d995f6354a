"""How columns are masked: rules, the policy they make, and its application. Pure: no I/O, no clock."""
