"""
Makes the pictures of docs/images anew: `nox -s screenshots`.

`tests/test_screenshots.py` makes them too, and fails where the kept ones differ.
"""

from pathlib import Path

from kiebot.core.language import Language
from tools.screenshots import chat, telegram, terminal

IMAGES = Path(__file__).parents[2] / "docs" / "images"


def of_terminal(language: Language) -> dict[str, str]:
    """The pictures of the terminal in a language: their SVG, by the name of their file."""
    drawn = {}
    for name, shot in terminal.take(language).items():
        file = f"terminal-{name}-{language}.svg"
        if name == "readme":
            file = "terminal.svg" if language is Language.EN else f"terminal-{language}.svg"
        drawn[file] = terminal.draw(shot, f"kiebot chat: {name}")
    return drawn


def of_telegram(language: Language) -> dict[str, str]:
    """The pictures of Telegram in a language, likewise."""
    shots = telegram.take(language)
    drawn = {
        f"telegram-{name}-{language}.svg": chat.draw(shot, f"kiebot in Telegram: {name}")
        for name, shot in shots.items()
    }
    file = "telegram.svg" if language is Language.EN else f"telegram-{language}.svg"
    best = [shots[name] for name in ("menu", "confirm", "result")]
    drawn[file] = chat.draw_beside(best, "kiebot in Telegram: a picture is bought")
    return drawn


def main() -> None:
    """Write all of them, and nothing else is left in the folder."""
    IMAGES.mkdir(exist_ok=True)
    made: dict[str, str] = {}
    for language in Language:
        made |= of_terminal(language) | of_telegram(language)
    for old in {*IMAGES.glob("terminal*.svg"), *IMAGES.glob("telegram*.svg")}:
        if old.name not in made:
            old.unlink()
    for name, picture in sorted(made.items()):
        (IMAGES / name).write_text(picture, encoding="utf-8")
    print(f"{len(made)} pictures in {IMAGES}")


if __name__ == "__main__":
    main()
