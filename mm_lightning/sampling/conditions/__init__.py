"""Conditions on samples: what an item must be, and how items are sampled under it."""
