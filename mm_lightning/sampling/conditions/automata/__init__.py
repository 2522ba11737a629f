"""Deterministic automata over ids: one class per kind of condition, and their product."""
