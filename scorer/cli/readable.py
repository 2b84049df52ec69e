"""Text from outside, made safe for a terminal."""


def readable(text: str) -> str:
    """One line without control characters: what somebody wrote into a field must not steer a terminal. Signs that turn
    the direction of writing are no printable characters either and are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
