"""
How wide letters are, so that lines can be broken where a screen would break them.

In thousandths of the type size. Source: the advance widths in Liberation Sans 1.07, which are
Arial's; a letter that is in neither, such as an emoji, comes from another font of the reader's.
"""

import unicodedata

REGULAR = {
    191: "'",
    222: "ijl‘’",
    260: "|",
    278: " \u00a0!,./:;I[\\]ft·",
    333: "()-`r“”„‹›",
    334: "{}",
    350: "•",
    355: '"',
    365: "г",
    389: "*",
    400: "°",
    438: "к",
    458: "зт",
    469: "^",
    500: "Jcksvxyzсух",
    510: "э",
    521: "чь",
    531: "в",
    542: "Гпя",
    552: "н",
    556: "#$0123456789?L_abdeghnopquаеорё«»–€",
    559: "ий",
    573: "бц",
    583: "Кдл",
    584: "+<=>~−×",
    604: "З",
    611: "FTZТ",
    625: "ъ",
    635: "У",
    656: "БЛЬ",
    667: "&ABEKPSVXYАВЕРХЧЁ",
    669: "ж",
    677: "Д",
    688: "м",
    719: "ИЙПЭы",
    722: "CDHNRUwНСЯ",
    740: "Ц",
    750: "ю",
    760: "Ф",
    778: "GOQО",
    792: "Ъ",
    802: "ш",
    823: "фщ",
    833: "MmМ",
    885: "Ы",
    889: "%",
    917: "Ш",
    923: "Ж",
    938: "Щ",
    944: "W",
    1000: "—…→",
    1010: "Ю",
    1015: "@",
    1073: "№",
}
BOLD = {
    238: "'",
    278: " \u00a0,./I\\ijl‘’·",
    280: "|",
    333: "!()-:;[]`ft‹›",
    350: "•",
    389: "*r{}",
    400: "°",
    417: "г",
    474: '"',
    490: "т",
    497: "з",
    500: "zк“”„",
    552: "э",
    556: "#$0123456789J_aceksvxyаесухё«»–€",
    567: "Г",
    581: "ч",
    583: "я",
    584: "+<=>^~−×",
    604: "нп",
    610: "К",
    611: "?FLTZbdghnopquТор",
    615: "вийць",
    618: "б",
    622: "У",
    626: "З",
    635: "дл",
    667: "EPSVXYЕРХ",
    669: "Ё",
    702: "Л",
    703: "Ч",
    709: "ж",
    711: "Э",
    712: "Д",
    719: "БИЙПЬЯ",
    722: "&ABCDHKNRUАВНС",
    729: "ъ",
    730: "Ц",
    740: "м",
    778: "GOQwО",
    833: "MМш",
    844: "щ",
    854: "Фыю",
    870: "Ъ",
    875: "ф",
    889: "%m",
    904: "Ж",
    944: "W",
    975: "@",
    979: "Ы",
    1000: "—…→",
    1005: "Ш",
    1019: "Щ",
    1031: "Ю",
    1115: "№",
}
"""The letters of each width."""

MONOSPACED = 602
"""Every letter of DejaVu Sans Mono, Menlo and Consolas is about so wide."""

OTHER = 610
"""A letter that no table has."""

EMOJI = 1245
"""A sign that fills two columns. Source: Noto Color Emoji."""

JOINER, COLOURED = "\u200d", "\ufe0f"
"""What makes one sign of two, and what asks for a sign in colours."""

_OF = {
    is_bold: {letter: width for width, letters in table.items() for letter in letters}
    for is_bold, table in ((False, REGULAR), (True, BOLD))
}


def width(text: str, size: float, *, is_bold: bool = False, is_code: bool = False) -> float:
    """How wide a line of text is, in the unit of the type's size."""
    total = 0
    for before, letter, after in zip("\0" + text, text, text[1:] + "\0", strict=False):
        if letter in {JOINER, COLOURED} or before == JOINER:
            continue
        if after == COLOURED or unicodedata.east_asian_width(letter) == "W":
            total += EMOJI
        else:
            total += MONOSPACED if is_code else _OF[is_bold].get(letter, OTHER)
    return total * size / 1000
