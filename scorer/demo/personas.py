"""How each kind of lead behaves.

`live(person, diary)` writes one episode: the weeks in which the lead is active. It returns the days of silence until
the next episode, or None if there is none.
"""

from collections.abc import Callable, Mapping

from scorer.demo.chapters import introduce, letters, negotiate, qualify
from scorer.demo.diary import CRM, EVENTS, WEBSITE, Diary
from scorer.demo.names import PRODUCTS
from scorer.demo.people import Person, Persona

PRODUCT_PAGES = (
    "/",
    *(f"/product/{name}" for name in PRODUCTS),
    "/product/integrations",
    "/case-studies/pumps-on-time",
)
BLOG_PAGES = ("/blog/safety-stock", "/blog/bullwhip", "/blog/s-and-op-in-a-week", "/blog/forecast-error", "/")
DOCS_PAGES = (
    "/docs/getting-started",
    "/docs/api",
    "/docs/import",
    "/docs/permissions",
    "/docs/forecast-models",
)
CASE_PAGES = (
    "/case-studies/pumps-on-time",
    "/case-studies/freight-without-phone-calls",
    "/case-studies/forty-clinics",
)
CAREERS_PAGES = ("/careers", "/careers/working-student-data", "/careers/account-executive", "/careers/apply")


def live(person: Person, diary: Diary) -> float | None:
    """Write the next episode of this lead's life."""
    diary.at_work = person.persona not in (Persona.STUDENT, Persona.JOB_SEEKER)
    person.episodes += 1
    diary.wait(0.4)
    silence = _LIVES[person.persona](person, diary)
    ending = _rare_endings(person, diary)
    return None if ending else silence


def _rare_endings(person: Person, diary: Diary) -> bool:
    draw = diary.rng.random()
    if draw < 0.004:
        diary.wait(9)
        diary.note(CRM, "erased", reason="request of the person")
        return True
    if draw < 0.012 and person.colleague is not None:
        diary.wait(9)
        diary.note(CRM, "merged", into=person.colleague)
        return True
    return False


def _champion(person: Person, diary: Diary) -> float:
    if person.episodes == 1:
        diary.browse(BLOG_PAGES, 1.5)
        diary.wait(2)
        diary.browse(PRODUCT_PAGES, 2)
        introduce(person, diary, diary.pick(("manager", "director", "manager")), "search", "whitepaper")
        diary.note(WEBSITE, "content_downloaded", content="planning-benchmark", kind="whitepaper")
    letters(person, diary, 3, opens=0.6)
    if diary.chance(0.55):
        diary.webinar()
    diary.wait(3)
    diary.browse(PRODUCT_PAGES + CASE_PAGES, 3)
    if not person.buys or diary.chance(0.25):
        if diary.chance(0.5):
            qualify(person, diary, "influencer", ripe=False)
        letters(person, diary, 2)
        return diary.rng.uniform(60, 180)
    diary.wait(2)
    diary.view("/pricing", "/product/integrations", "/pricing")
    if diary.chance(0.5):
        diary.note(WEBSITE, "content_downloaded", content="price-list", kind="price-list")
    diary.wait(2)
    qualify(person, diary, diary.pick(("decision_maker", "influencer", "decision_maker")), ripe=True)
    diary.wait(2)
    diary.view("/pricing")
    diary.note(WEBSITE, "demo_requested", product=diary.pick(PRODUCTS))
    diary.wait(2)
    diary.browse(DOCS_PAGES + CASE_PAGES, 3)
    return negotiate(person, diary)


def _decider(person: Person, diary: Diary) -> float:
    diary.wait(8 if person.episodes == 1 else 2)
    diary.view("/", "/case-studies/pumps-on-time")
    if person.episodes == 1:
        introduce(person, diary, "executive", "colleague", "case-study")
    letters(person, diary, 2, opens=0.3)
    if person.buys:
        diary.wait(5)
        diary.view("/pricing", "/case-studies/forty-clinics")
        if diary.chance(0.6):
            qualify(person, diary, "decision_maker", ripe=diary.chance(0.75))
            diary.wait(4)
            diary.note(CRM, "meeting_held", minutes_sent=True, participants=2)
    return diary.rng.uniform(40, 160)


def _colleague(person: Person, diary: Diary) -> float:
    diary.wait(4)
    diary.browse(DOCS_PAGES + BLOG_PAGES + PRODUCT_PAGES, 2)
    if person.episodes == 1 and diary.chance(0.75):
        introduce(person, diary, diary.pick(("employee", "employee", "manager")), "colleague")
    letters(person, diary, 3)
    if diary.chance(0.2):
        diary.webinar()
    return diary.rng.uniform(50, 200)


def _owner(person: Person, diary: Diary) -> float | None:
    diary.view("/", diary.pick(PRODUCT_PAGES), "/pricing")
    if person.episodes == 1:
        introduce(person, diary, "owner", diary.pick(("search", "advertisement", "recommendation")), "contact")
    if not person.buys:
        letters(person, diary, 3)
        return diary.rng.uniform(60, 250) if diary.chance(0.4) else None
    diary.wait(0.7)
    if diary.chance(0.6):
        diary.note(WEBSITE, "trial_started", product=diary.pick(PRODUCTS))
        diary.browse(DOCS_PAGES, 3)
    diary.wait(1)
    if diary.chance(0.3):
        diary.note(WEBSITE, "chat_started", topic="price")
    qualify(person, diary, "decision_maker", ripe=diary.chance(0.6))
    diary.wait(1.5)
    diary.view("/pricing")
    if diary.chance(0.45):
        diary.note(WEBSITE, "demo_requested", product=diary.pick(PRODUCTS))
        return negotiate(person, diary)
    letters(person, diary, 2)
    return diary.rng.uniform(30, 150)


def _returning(person: Person, diary: Diary) -> float:
    if person.episodes % 3 == 1:
        diary.browse(PRODUCT_PAGES + BLOG_PAGES, 2)
        if person.episodes == 1:
            introduce(person, diary, diary.pick(("manager", "director", "employee")), "fair")
            if diary.chance(0.4):
                diary.note(EVENTS, "event_attended", name="Logistics Fair", minutes=diary.rng.randrange(5, 40))
        letters(person, diary, 2)
        return diary.rng.uniform(80, 240)
    diary.browse(PRODUCT_PAGES + CASE_PAGES, 3)
    letters(person, diary, 3, opens=0.6)
    if diary.chance(0.4):
        diary.webinar()
        diary.wait(2)
    diary.view("/pricing", "/product/integrations")
    if not person.buys:
        return diary.rng.uniform(90, 300)
    diary.wait(2)
    qualify(person, diary, diary.pick(("influencer", "decision_maker")), ripe=True)
    diary.wait(1.5)
    diary.note(WEBSITE, "demo_requested", product=diary.pick(PRODUCTS))
    return negotiate(person, diary)


def _idle(person: Person, diary: Diary) -> float | None:
    referrer = diary.pick(("https://search.example/", "https://news.example/", None))
    diary.view(diary.pick(BLOG_PAGES), referrer=referrer)
    if person.episodes == 1 and diary.chance(0.35):
        introduce(person, diary, diary.pick(("employee", "manager", "employee")), "advertisement")
        letters(person, diary, 2, opens=0.15)
    return diary.rng.uniform(60, 400) if diary.chance(0.3) else None


def _student(person: Person, diary: Diary) -> float | None:
    diary.browse(BLOG_PAGES + DOCS_PAGES, 3)
    if person.episodes == 1:
        introduce(person, diary, "student", "search", "whitepaper")
    for name in ("planning-benchmark", "forecasting-handbook", "glossary"):
        if diary.chance(0.5):
            diary.note(WEBSITE, "content_downloaded", content=name, kind="whitepaper")
            diary.pause(20, 300)
    if diary.chance(0.3):
        diary.wait(3)
        diary.view(diary.pick(CAREERS_PAGES))
    return diary.rng.uniform(10, 120) if diary.chance(0.5) else None


def _job_seeker(person: Person, diary: Diary) -> float | None:
    diary.view("/")
    diary.browse(CAREERS_PAGES, 3)
    if person.episodes == 1 and diary.chance(0.6):
        introduce(person, diary, "employee", "job-board", "apply")
    return diary.rng.uniform(5, 60) if diary.chance(0.4) else None


def _competitor(person: Person, diary: Diary) -> float:
    diary.view("/", "/pricing")
    diary.browse(PRODUCT_PAGES + DOCS_PAGES, 6)
    if person.episodes == 1:
        introduce(person, diary, "manager", "search", "whitepaper")
        if diary.chance(0.7):
            diary.note(CRM, "profile_updated", is_competitor=True)
    diary.note(WEBSITE, "content_downloaded", content="price-list", kind="price-list")
    if diary.chance(0.5):
        diary.webinar()
    return diary.rng.uniform(20, 60)


def _customer(person: Person, diary: Diary) -> float:
    if person.episodes == 1:
        introduce(person, diary, "manager", "customer", "support")
        diary.note(CRM, "profile_updated", is_customer=True)
    diary.browse(DOCS_PAGES, 3)
    letters(person, diary, 2, opens=0.5)
    if diary.chance(0.15):
        diary.note(EVENTS, "event_attended", name="User Day", minutes=diary.rng.randrange(60, 400))
    return diary.rng.uniform(15, 70)


_LIVES: Mapping[Persona, Callable[[Person, Diary], float | None]] = {
    Persona.CHAMPION: _champion,
    Persona.DECIDER: _decider,
    Persona.COLLEAGUE: _colleague,
    Persona.OWNER: _owner,
    Persona.RETURNING: _returning,
    Persona.IDLE: _idle,
    Persona.STUDENT: _student,
    Persona.JOB_SEEKER: _job_seeker,
    Persona.COMPETITOR: _competitor,
    Persona.CUSTOMER: _customer,
}
