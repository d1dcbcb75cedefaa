"""The command `airside`: what its words mean. Each command is one file."""
