"""A search for settings: many short fits, the parameters of each chosen by what the others reached."""
