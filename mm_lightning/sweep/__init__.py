"""A search for settings: many short fits, whose settings follow from the results of earlier ones."""
