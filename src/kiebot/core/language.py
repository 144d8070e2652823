"""Languages, and words given in each of them."""

from enum import StrEnum

from attrs import frozen


class Language(StrEnum):
    """A language kiebot speaks."""

    RU = "ru"
    EN = "en"

    @classmethod
    def of_locale(cls, code: str | None) -> "Language":
        """
        The language for a locale such as `uk`, `ru-RU` or `ru_RU.UTF-8`.

        Russian where it is widely read (ru, uk, be, kk), else English.
        """
        primary = (code or "").replace("_", "-").split("-")[0].lower()
        return cls.RU if primary in {"ru", "uk", "be", "kk"} else cls.EN


@frozen(kw_only=True)
class Localized:
    """One text in every language."""

    ru: str
    en: str

    def to(self, language: Language) -> str:
        """The text in one language."""
        return self.ru if language is Language.RU else self.en
