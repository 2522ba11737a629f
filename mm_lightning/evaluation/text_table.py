"""Tables of plain text."""


def aligned(rows: list[list[str]], num_left: int = 0) -> list[str]:
    """Pad cells so that columns line up, and join each row to one line.

    Args:
        rows: Cells of each row, all rows of one length.
        num_left: Number of leading columns aligned to the left; all others are aligned to the right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<"] * num_left + [">"] * (len(widths) - num_left)
    return ["  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, sides, widths, strict=True)).rstrip() for row in rows]
