"""Puts pieces of text on lines of a given width. No piece is cut unless it alone is too wide for a line."""

from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len, chop_cells


def flow(pieces: Iterable[str], width: int, separator: str = " ", indent: str = "") -> Sequence[str]:
    """The pieces on as few lines as possible, each of at most `width` terminal columns. `indent` begins every line
    but the first."""
    lines: list[str] = []
    line = ""
    for piece in pieces:
        begin = indent if lines else ""
        if not line:
            line = begin + piece
        elif cell_len(line) + cell_len(separator) + cell_len(piece) <= width:
            line += separator + piece
        else:
            # A mark such as " ·" stays at the end of the line if it fits.
            mark = separator.rstrip()
            lines.append(line + mark if cell_len(line) + cell_len(mark) <= width else line)
            line = indent + piece
        if cell_len(line) > width:
            *whole, line = chop_cells(line, max(1, width))
            lines += whole
    return [*lines, line] if line else lines


def flow_at_most(
    pieces: Sequence[str], limit: int, rest: Callable[[int], str], width: int, separator: str = " "
) -> Sequence[str]:
    """The same on at most `limit` lines. `rest` is the last piece if some pieces do not fit; it is given how many
    there is room for."""
    lines = flow(pieces, width, separator)
    fitting = len(pieces)
    while len(lines) > limit and fitting > 0:
        fitting -= 1
        lines = flow([*pieces[:fitting], rest(fitting)], width, separator)
    return lines[:limit]
