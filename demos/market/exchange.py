"""A made-up exchange: 500 companies, their prices, what was before, the orders around them.

Nothing in here knows of sockets or of Django. Prices are whole cents; times are milliseconds.
"""

from __future__ import annotations

import json
import math
import random
from collections import deque
from itertools import accumulate
from typing import NamedTuple

COUNT = 500
TREND_POINTS = 24
TREND_SECONDS = 10.0
LEVELS = 8  # of a book, on each side
SECTORS = {
    "Energy": ("Power", "Oil", "Solar", "Grid"),
    "Banks": ("Bank", "Trust", "Capital", "Credit"),
    "Chips": ("Micro", "Silicon", "Devices", "Photonics"),
    "Software": ("Systems", "Cloud", "Data", "Logic"),
    "Health": ("Pharma", "Labs", "Care", "Bio"),
    "Food": ("Foods", "Mills", "Brewing", "Farms"),
    "Retail": ("Stores", "Market", "Outfitters", "Goods"),
    "Transport": ("Rail", "Air", "Shipping", "Motors"),
    "Materials": ("Steel", "Glass", "Chemicals", "Mining"),
    "Utilities": ("Water", "Gas", "Telecom", "Waste"),
}
HEADS = """
    Al Bel Cor Dan El Fen Gar Hol Is Jun Kem Lor Mar Nor Os Pel Quin Ras Sol Tam Ul Ver Wen Yar Zel
"""
TAILS = """
    ada bria cara den essa fax gon hurst ima jora kano lis mere nova ora pike ra stad tis vale well
    ric mont ley
"""

# The walk. Each trade moves its price a little, and the further it is from where it belongs the
# more it is drawn there; where that is moves with the sector and the whole market.
STEPS = 4096
STEP = 0.00016
PULL = 0.0006
DRIFT = 0.0007  # of a sector and of the market, per square root of a second
DRIFT_PULL = 0.02  # per second


class Company(NamedTuple):
    """What a symbol stands for, and the price of last night."""

    symbol: str
    name: str
    sector: str
    close: int


def companies() -> list[Company]:
    """Always the same ones, in the order of their symbols."""
    chance = random.Random(1852)  # noqa: S311
    found: dict[str, Company] = {}
    names = [(head, tail) for head in HEADS.split() for tail in TAILS.split()]
    chance.shuffle(names)
    for head, tail in names[:COUNT]:
        sector = chance.choice(list(SECTORS))
        symbol = (head[:2] + tail[0] + tail[-1]).upper()
        close = int(2000 + 10_000 * chance.random() ** 1.6)
        name = f"{head}{tail} {chance.choice(SECTORS[sector])}"
        found[symbol] = Company(symbol, name, sector, close)
    return [found[symbol] for symbol in sorted(found)]


COMPANIES = companies()


class Exchange:
    """Trades at whatever rate is asked for."""

    def __init__(self, seed: int | None = None) -> None:
        self._chance = random.Random(seed)  # noqa: S311
        self._steps = [self._chance.gauss(0, STEP) for _ in range(STEPS)]
        # What happened overnight, which stays for the day.
        self._bases = [int(one.close * (1 + self._chance.gauss(0, 0.012))) for one in COMPANIES]
        self._places = {company.symbol: n for n, company in enumerate(COMPANIES)}
        self._sectors = [list(SECTORS).index(company.sector) for company in COMPANIES]
        self._drifts = [0.0] * len(SECTORS)
        self._own = [self._chance.gauss(0, 0.004) for _ in COMPANIES]
        # Some are traded more than others, but each of them often: 1 to 7 times.
        self._weights = list(accumulate(0.5 + 3 * self._chance.random() ** 2 for _ in COMPANIES))
        self._volumes = [self._chance.randrange(1_000, 90_000) for _ in COMPANIES]
        self._heads = [f'{{"symbol":"{company.symbol}","price":' for company in COMPANIES]
        self._trends = [deque(self._past(n), TREND_POINTS) for n in range(len(COMPANIES))]
        self._books: dict[int, dict[int, int]] = {}

    def drift(self, seconds: float) -> None:
        """The mood of the market and of each sector changes a little."""
        market = self._chance.gauss(0, DRIFT / 2) * math.sqrt(seconds)
        for n, drift in enumerate(self._drifts):
            step = self._chance.gauss(market, DRIFT * math.sqrt(seconds))
            self._drifts[n] = drift * (1 - DRIFT_PULL * seconds) + step

    def ticks(self, count: int, at: int) -> bytes:
        """So many trades, a line of JSON each."""
        chance, own, steps = self._chance, self._own, self._steps
        bases, drifts, sectors, heads = self._bases, self._drifts, self._sectors, self._heads
        volumes = self._volumes
        tail = f',"at":{at}}}\n'
        lines = []
        begin = chance.randrange(STEPS)
        places = chance.choices(range(COUNT), cum_weights=self._weights, k=count)
        for turn, place in enumerate(places, begin):
            step = steps[turn % STEPS]
            mine = own[place] = own[place] * (1 - PULL) + step
            volume = volumes[place] = volumes[place] + (turn * 7 + place) % 90 * 10
            cents = int(bases[place] * (1 + mine + drifts[sectors[place]]))
            lines.append(f'{heads[place]}{cents},"volume":{volume}{tail}')
        return "".join(lines).encode()

    def price(self, place: int) -> int:
        """Where it stands."""
        drift = self._drifts[self._sectors[place]]
        return int(self._bases[place] * (1 + self._own[place] + drift))

    def last(self, at: int) -> bytes:
        """Where all of them stand, as trades of nothing."""
        quotes = (
            {
                "symbol": company.symbol,
                "price": self.price(place),
                "volume": self._volumes[place],
                "at": at,
            }
            for place, company in enumerate(COMPANIES)
        )
        return b"".join(_line(quote) for quote in quotes)

    def point(self, place: int) -> None:
        """One more point of the past of a symbol."""
        self._trends[place].append(self.price(place))

    def trend(self, place: int) -> bytes:
        """The past of a symbol, as a line of JSON."""
        return _line({"symbol": COMPANIES[place].symbol, "trend": list(self._trends[place])})

    def book(self, symbol: str, at: int) -> bytes:
        """The orders around the price of a symbol, from the dearest ask to the cheapest bid."""
        place = self._places[symbol]
        price = self.price(place)
        before = self._books.get(place, {})
        prices = [price + n for n in range(LEVELS, -LEVELS - 1, -1) if n]
        sizes = {level: before.get(level) or self._size() for level in prices}
        for level in self._chance.sample(prices, 3):
            sizes[level] = self._size()
        self._books[place] = sizes
        levels = [[level, sizes[level]] for level in prices]
        asks, bids = levels[:LEVELS], levels[LEVELS:]
        return _line({"symbol": symbol, "asks": asks, "bids": bids, "at": at})

    def knows(self, symbol: str) -> bool:
        """Whether it is traded here."""
        return symbol in self._places

    def _size(self) -> int:
        return max(1, int(self._chance.lognormvariate(2.2, 0.8))) * 100

    def _past(self, place: int) -> list[int]:
        """Minutes that might have led to where it stands."""
        level, points = self._own[place], []
        for _ in range(TREND_POINTS):
            points.append(int(self._bases[place] * (1 + level)))
            level += self._chance.gauss(0, 0.0018)
        return points[::-1]


def _line(said: dict[str, object]) -> bytes:
    return json.dumps(said, separators=(",", ":")).encode() + b"\n"
