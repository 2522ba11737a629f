"""mm_lightning: learn from a list of items, one per line, and make more like them."""


class UserError(ValueError):
    """An error that the user can cause and mend. Its message is one line: the setting, its value, the remedy."""
