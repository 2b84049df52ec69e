"""Steps that several kinds of lead share: fill in a form, receive mail, get qualified, negotiate with sales."""

from scorer.demo.diary import CRM, MAIL, WEBSITE, Diary
from scorer.demo.names import RIVALS, TECHNOLOGIES, title
from scorer.demo.people import Person, Persona

SALESPEOPLE = ("m.okafor", "j.lindgren", "s.brandt", "a.moreau")


def introduce(person: Person, diary: Diary, level: str, source: str, form: str = "newsletter") -> None:
    """Fill in a form. From then on the lead is known."""
    firm = person.company
    wording, department = title(diary.rng, level)
    diary.note(WEBSITE, "form_submitted", form=form, url=f"https://www.loomwork.example/{form}")
    diary.pause(1, 4)
    if firm is None:
        student = level == "student"
        domain = "uni-elmhurst.example" if student else diary.pick(("webpost.example", "mailkiste.example"))
        diary.note(
            CRM,
            "profile_updated",
            email_domain=domain,
            email_kind="university" if student else "free",
            job_level=level if diary.chance(0.8) else None,
            job_title=wording if diary.chance(0.6) else None,
            lead_source=source,
        )
    else:
        diary.note(
            CRM,
            "profile_updated",
            company=firm.name,
            industry=firm.industry,
            employees=firm.employees if diary.chance(0.9) else None,
            annual_revenue=firm.revenue if diary.chance(0.5) else None,
            country=firm.country,
            language={"GB": "en", "FR": "fr", "NL": "nl", "SE": "sv"}.get(firm.country, "de"),
            job_title=wording,
            job_level="executive" if level == "owner" else level,
            department=department,
            email_domain=firm.domain,
            email_kind="business",
            technologies=[diary.pick(TECHNOLOGIES)] if diary.chance(0.4) else None,
            lead_source=source,
        )
    if diary.chance(0.5):
        diary.pause(1, 3)
        diary.note(WEBSITE, "consent_changed", channel="email", status="granted")
    if diary.chance(0.03):
        diary.pause(60, 600)
        diary.note(MAIL, "email_bounced", kind="hard" if diary.chance(0.7) else "soft", campaign="welcome")


def letters(person: Person, diary: Diary, most: int, opens: float = 0.4) -> None:
    """Receive some campaign mails in a row; a few people unsubscribe."""
    for _ in range(diary.rng.randrange(most + 1)):
        diary.mail(person.company, opens)
        if diary.chance(0.025):
            diary.pause(10, 200)
            diary.note(MAIL, "unsubscribed", campaign="monthly-letter")
            return
        if diary.chance(0.006):
            diary.note(CRM, "consent_changed", channel="all", status="withdrawn")
            return
        diary.wait(1.5)


def qualify(person: Person, diary: Diary, authority: str, ripe: bool) -> None:
    """Inside sales calls and asks about budget, authority, need and timeline."""
    firm = person.company
    if diary.chance(0.35):
        diary.note(CRM, "call_logged", outcome=diary.pick(("no_answer", "voicemail")))
        diary.wait(1)
    diary.note(CRM, "call_logged", outcome="reached", minutes=diary.rng.randrange(4, 35))
    diary.pause(30, 300)
    size = 10 if firm is None else firm.employees
    amount = round(max(2_000.0, min(400_000.0, size * diary.rng.uniform(60, 260))), -3)
    status = diary.pick(("approved", "approved", "planned") if ripe else ("requested", "none", "planned", "none"))
    diary.note(
        CRM,
        "qualification_updated",
        bant={
            "budget_status": status,
            **({} if status == "none" else {"budget_amount": amount}),
            "authority": authority,
            "need": diary.pick(("critical", "important", "important") if ripe else ("useful", "important", "none")),
            "timeline_months": diary.pick((1, 2, 3, 4, 6) if ripe else (9, 12, 18, 24)),
        },
        competition={
            "position": diary.pick(("preferred", "sole", "even") if ripe else ("even", "behind")),
            "competitors": [name for name in RIVALS if diary.chance(0.3)],
        },
        project={"resources": diary.pick(("available", "available", "partly") if ripe else ("partly", "missing"))},
    )


def negotiate(person: Person, diary: Diary) -> float:
    """Sales takes over: meeting, offer, then won, lost or returned. Returns the days of silence that follow."""
    by = diary.pick(SALESPEOPLE)
    size = 10 if person.company is None else person.company.employees
    value = round(max(1_500.0, size * diary.rng.uniform(50, 220)), -2)
    diary.wait(0.6)
    diary.note(CRM, "sales_accepted", by=by, value=value)
    diary.wait(3)
    diary.note(CRM, "meeting_held", minutes_sent=diary.chance(0.8), participants=diary.rng.randrange(1, 6))
    diary.note(CRM, "stage_changed", stage="offer", previous="contact")
    diary.note(CRM, "assessment_recorded", rating="hot", probability=diary.pick((0.5, 0.6, 0.75)), by=by)
    diary.wait(2)
    diary.view("/pricing", "/docs/permissions")
    diary.wait(6)
    draw = diary.rng.random()
    if draw < 0.3:
        reason = diary.pick(("budget was moved to next year", "no project lead named yet", "waits for the new ERP"))
        diary.note(CRM, "sales_returned", by=by, reason=reason)
        return diary.rng.uniform(30, 120)
    diary.note(CRM, "stage_changed", stage="negotiation", previous="offer")
    diary.wait(8)
    if draw < 0.6:
        diary.note(CRM, "opportunity_won", by=by, value=value)
        diary.pause(5, 60)
        diary.note(CRM, "profile_updated", is_customer=True)
        person.persona = Persona.CUSTOMER
        return diary.rng.uniform(14, 60)
    rival_name = diary.pick(RIVALS) if diary.chance(0.6) else None
    diary.note(
        CRM,
        "opportunity_lost",
        by=by,
        reason="price" if rival_name else "project stopped",
        competitor=rival_name,
    )
    return diary.rng.uniform(150, 400)
