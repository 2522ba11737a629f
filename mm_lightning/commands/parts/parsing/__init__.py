"""Parsing of options: the parser, the words of its errors, and what is refused before."""
