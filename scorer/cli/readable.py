"""Text from outside, made safe for a terminal."""


def readable(text: str) -> str:
    """One line without control characters: a field must not control the terminal. Characters that change the writing
    direction are not printable either and are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)
