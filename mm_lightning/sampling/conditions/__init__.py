"""Conditions on samples, and samplers of a network's items under a condition."""
