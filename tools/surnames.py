"""Write `tools/surnames.txt`: the 1,000 ideographs with which most people's surnames begin, the commonest first.

The lists come from three packages with the MIT licence, which this command alone needs:
`pip install Faker==40.63.0 japanese-personal-name-dataset==0.4.0 mimesis==22.2.0`.

- Faker: shares of 400 surnames in China, from the Chinese Wikipedia's 中国姓氏排名, and of 200 surnames in Taiwan
- japanese-personal-name-dataset: numbers of people with each of 2,000 surnames in Japan, from 名字由来net
- mimesis: 440 surnames in China and 2,056 in Japan, without numbers. Their ideographs follow those of the others.

Korean surnames have the ideographs of Chinese ones, and are written in Hangul.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

SURNAMES = Path(__file__).with_name("surnames.txt")
_COUNT = 1_000
_PER_LINE = 50
_PEOPLE = {"zh_CN": 1_410_000_000, "zh_TW": 23_400_000}
"""People in the countries of Faker's lists, whose numbers are per cent."""


def main() -> None:
    """Write the file."""
    from faker.providers.person import zh_CN, zh_TW  # type: ignore[import-not-found]
    from japanese_personal_name_dataset import get_last_names  # type: ignore[import-not-found]
    from mimesis import Locale, Person  # type: ignore[import-not-found]

    people: Counter[str] = Counter()
    for country in (zh_CN, zh_TW):
        weight = _PEOPLE[country.__name__.rpartition(".")[2]] / 100
        people.update(_beginnings((name, share * weight) for name, share in country.Provider.last_names.items()))
    people.update(_beginnings((each["kanji"], each["count"]) for each in get_last_names()))
    ranked = [each for each, _ in people.most_common()]
    for locale in (Locale.ZH, Locale.JA):
        surnames = Person(locale)._extract(["surnames"])
        ranked += [each for each, _ in _beginnings((name, 1) for name in surnames).most_common()]
    chosen = "".join(list(dict.fromkeys(ranked))[:_COUNT])
    lines = [chosen[start : start + _PER_LINE] for start in range(0, _COUNT, _PER_LINE)]
    SURNAMES.write_text("\n".join(lines) + "\n", "utf-8")
    print(f"{len(chosen)} ideographs, {len(people)} of them with numbers")


def _beginnings(surnames: Iterable[tuple[str, float]]) -> Counter[str]:
    """Return the sum of the numbers by the first ideograph of each surname."""
    counted: Counter[str] = Counter()
    for surname, number in surnames:
        if "\u4e00" <= surname[0] <= "\u9fff":
            counted[surname[0]] += round(number)
    return counted


if __name__ == "__main__":
    main()
