"""Text on a terminal, without a library that a commit would wait for."""

_COLOURS = {"green": "32", "red": "31", "yellow": "33", "dim": "2", "bold": "1"}


def safe(text: str) -> str:
    """Make what comes out of a file harmless to a terminal, and to `painted`."""
    return "".join(character if character.isprintable() else "�" for character in text).replace(
        "[", "[\u200b"
    )


def painted(line: str, colour: bool) -> str:
    """Put colours in place of [bold], [dim] and so on up to [/], or nothing."""
    for name, code in _COLOURS.items():
        line = line.replace(f"[{name}]", f"\x1b[{code}m" if colour else "")
    return line.replace("[/]", "\x1b[0m" if colour else "").replace("[\u200b", "[")
