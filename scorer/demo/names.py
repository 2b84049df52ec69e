"""Names of the demo market's people and companies. All are invented; all mail domains end in `.example`."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

INDUSTRIES: Mapping[str, Sequence[str]] = {
    "manufacturing": ("Precision", "Castings", "Tooling", "Components", "Pumps"),
    "logistics": ("Freight", "Logistics", "Warehousing", "Forwarding"),
    "software": ("Systems", "Software", "Labs", "Data"),
    "financial services": ("Capital", "Insurance", "Leasing"),
    "healthcare": ("Clinics", "Diagnostics", "Medical"),
    "retail": ("Stores", "Outfitters", "Wholesale"),
    "energy": ("Energy", "Grid", "Solar"),
    "construction": ("Construction", "Timber", "Facades"),
    "public sector": ("Transport Authority", "Water Board"),
    "hospitality": ("Hotels", "Catering"),
}

_FIRST_NAMES = (
    *(
        "Alder",
        "Anvil",
        "Ashford",
        "Aster",
        "Bergholt",
        "Birkdal",
        "Blythe",
        "Borealis",
        "Brackwater",
        "Caldera",
    ),
    *(
        "Carden",
        "Castellan",
        "Cobalt",
        "Corvin",
        "Dalgaard",
        "Drumlin",
        "Eastmoor",
        "Elmhurst",
        "Fenwick",
        "Fjordal",
    ),
    *(
        "Galloway",
        "Granville",
        "Greywell",
        "Halvorsen",
        "Harrow",
        "Hollin",
        "Isenberg",
        "Juniper",
        "Kestrel",
        "Kilbride",
    ),
    *(
        "Lindqvist",
        "Lodestar",
        "Lorrimer",
        "Marlow",
        "Meridian",
        "Mossgate",
        "Nordhavn",
        "Oakhurst",
        "Orrin",
        "Palisade",
    ),
    *(
        "Pellworm",
        "Quarrington",
        "Ravensdal",
        "Redfern",
        "Rosenau",
        "Sablon",
        "Selwick",
        "Silverbeck",
        "Skagen",
        "Stavanger",
    ),
    *(
        "Thornbury",
        "Tidewater",
        "Ulverton",
        "Valdora",
        "Vestergaard",
        "Wakefield",
        "Weststrand",
        "Wexcombe",
        "Yarrow",
        "Zellmark",
    ),
)
_LEGAL_FORMS: Mapping[str, str] = {
    "DE": "GmbH",
    "AT": "GmbH",
    "CH": "AG",
    "GB": "Ltd",
    "FR": "SAS",
    "NL": "BV",
    "SE": "AB",
}
_COUNTRIES = ("DE", "DE", "DE", "DE", "DE", "AT", "CH", "CH", "GB", "GB", "FR", "NL", "SE")

RIVALS = ("Plannerly", "Stockwise", "Flowmatic")
"""The vendor's competitors."""

PRODUCTS = ("planning", "inventory", "analytics")
"""What the vendor sells."""

TECHNOLOGIES = ("SAP S/4HANA", "Microsoft Dynamics", "Salesforce", "Oracle NetSuite", "Odoo", "spreadsheets")

_TITLES: Mapping[str, Sequence[tuple[str, str]]] = {
    "executive": (
        ("Chief Operating Officer", "operations"),
        ("Chief Information Officer", "it"),
        ("VP Supply Chain", "operations"),
        ("Managing Director", "management"),
    ),
    "owner": (("Owner", "management"), ("Founder and CEO", "management"), ("Managing Partner", "management")),
    "director": (
        ("Director of Operations", "operations"),
        ("Head of IT", "it"),
        ("Head of Procurement", "procurement"),
        ("Director Supply Chain", "operations"),
    ),
    "manager": (
        ("Operations Manager", "operations"),
        ("IT Project Manager", "it"),
        ("Production Planning Manager", "operations"),
        ("Category Manager", "procurement"),
    ),
    "employee": (
        ("Demand Planner", "operations"),
        ("Business Analyst", "it"),
        ("Buyer", "procurement"),
        ("Systems Administrator", "it"),
    ),
    "student": (("Student", "research"), ("Working Student", "research"), ("PhD Candidate", "research")),
}


class Company(NamedTuple):
    """A company of the market. `has_gateway`: its mail gateway opens every mail and follows every link."""

    name: str
    domain: str
    industry: str
    employees: int
    revenue: float
    country: str
    has_gateway: bool


def company(rng: Random, smallest: int, largest: int) -> Company:
    """A company with `smallest` to `largest` employees; small companies are more frequent."""
    industry = rng.choice(_INDUSTRY_NAMES)
    stem = f"{rng.choice(_FIRST_NAMES)} {rng.choice(INDUSTRIES[industry])}"
    country = rng.choice(_COUNTRIES)
    employees = int(smallest * (largest / smallest) ** rng.random())
    return Company(
        name=f"{stem} {_LEGAL_FORMS[country]}",
        domain=f"{stem.lower().replace(' ', '-')}.example",
        industry=industry,
        employees=employees,
        revenue=float(employees * rng.randrange(90, 260) * 1000),
        country=country,
        has_gateway=rng.random() < (0.3 if employees >= 250 else 0.08),
    )


def rival(rng: Random) -> Company:
    """One of the vendor's competitors."""
    name = rng.choice(RIVALS)
    return Company(name, f"{name.lower()}.example", "software", 180, 30e6, "NL", has_gateway=False)


def title(rng: Random, level: str) -> tuple[str, str]:
    """A job title and the department it belongs to."""
    return rng.choice(_TITLES[level])


_INDUSTRY_NAMES = tuple(name for name in INDUSTRIES for _ in range(3 if name in ("manufacturing", "logistics") else 1))
