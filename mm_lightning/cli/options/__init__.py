"""Options of the command line: their order, precedence and help, and what is refused first."""
