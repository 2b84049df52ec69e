"""A lead's activity: one CloudEvent about what a lead did or who it is, with a typed payload for each built-in type.

The payloads are the contract with the senders of activities; `schemas/activity.json` is generated from them.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from scorer.domain.unfitting import Drop

TYPE_PREFIX = "lead."
TYPE_PATTERN = r"^lead\.[a-z0-9_]+(\.[a-z0-9_]+)*$"

NAMES_BYTES = 16_384
"""The most bytes of UTF-8 that all names of one list have together."""

TOO_MANY_BYTES = "too_many_bytes"
"""The type of the error about a list that has more."""


def within_bytes(names: list[str]) -> list[str]:
    """The names, if they have at most `NAMES_BYTES` together. Raises `PydanticCustomError`."""
    size = sum(len(name.encode()) for name in names)
    if size > NAMES_BYTES:
        raise PydanticCustomError(
            TOO_MANY_BYTES,
            "the names have {size} bytes of UTF-8 together; expected at most {most}",
            {"most": NAMES_BYTES, "size": size},
        )
    return names


MOST_CUSTOM = 64
"""The most custom facts of one activity."""

TEXT_LENGTH = 2048
"""The most characters of a text."""

Text = Annotated[str, StringConstraints(max_length=TEXT_LENGTH)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Names = Annotated[
    list[Name],
    Field(max_length=64, description=f"Names with at most {NAMES_BYTES:,} bytes of UTF-8 together."),
    AfterValidator(within_bytes),
]
CustomName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]
JobLevel = Literal["student", "employee", "manager", "director", "executive"]
EmailKind = Literal["business", "free", "university", "disposable"]
CustomValue = bool | Integer | float | Text | Names | None


# A few hundred pages are viewed most of the time, so a cache pays off: see benchmarks/README.md.
@lru_cache(2048)
def path_of(url: str) -> str:
    """The path of a URL, or `/` if it has none."""
    try:
        return urlsplit(url).path or "/"
    except ValueError:  # e.g. a broken IPv6 host: the URL is still evidence, but it has no path
        return "/"


class Payload(BaseModel):
    """The `data` of an activity. Unknown keys are accepted and ignored, because senders send more than any contract
    lists, and a new key must not stop the stream."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)


class Statement(Payload):
    """A payload that states facts about the lead. An absent key changes nothing. An explicit null withdraws the known
    value."""

    custom: Annotated[dict[CustomName, CustomValue], Field(max_length=MOST_CUSTOM)] = Field(
        default_factory=dict,
        description="Custom facts, by the name that the ruleset declares under `fields`.",
    )


class ProfileUpdated(Statement):
    """Who the lead is. Each key becomes the field `profile.<key>`."""

    company: Name | None = Field(None, description="Company name.")
    industry: Name | None = Field(None, description="Industry, in the words of your CRM.")
    employees: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        None, description="Number of employees of the company."
    )
    annual_revenue: Annotated[float, Field(ge=0)] | None = Field(None, description="Annual revenue of the company.")
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = Field(
        None, description="Country, ISO 3166-1 alpha-2."
    )
    language: Name | None = Field(None, description="Language, BCP 47.")
    job_title: Name | None = Field(None, description="Job title as written by the lead.")
    job_level: JobLevel | None = Field(None, description="Level of the position.")
    department: Name | None = Field(None, description="Department of the company.")
    email_domain: Name | None = Field(
        None, description="The part after the @ of the lead's email address, in lower case."
    )
    email_kind: EmailKind | None = Field(None, description="Kind of the lead's email address.")
    technologies: Names | None = Field(None, description="Products that the company already uses.")
    lead_source: Name | None = Field(None, description="Where the lead came from.")
    is_competitor: bool | None = Field(None, description="Works for a competitor.")
    is_customer: bool | None = Field(None, description="Is already a customer.")


class QualificationUpdated(Statement):
    """Answers to the qualification questions: BANT, competition, and resources at the start of the project. The keys
    become the fields `bant.<key>`, `competition.<key>` and `project.<key>`."""

    class Bant(Payload):
        """Budget, authority, need, timeline."""

        budget_status: Literal["approved", "planned", "requested", "none"] | None = Field(
            None, description="Is there a budget?"
        )
        budget_amount: Annotated[float, Field(ge=0)] | None = Field(None, description="Budget, in your currency.")
        authority: Literal["decision_maker", "influencer", "user", "none"] | None = Field(
            None, description="The contact's role in the decision."
        )
        need: Literal["critical", "important", "useful", "none"] | None = Field(
            None, description="How much the company needs the product."
        )
        timeline_months: Annotated[float, Field(ge=0)] | None = Field(
            None, description="Months until the planned purchase."
        )

    class Competition(Payload):
        """The competitive situation."""

        position: Literal["sole", "preferred", "even", "behind"] | None = Field(
            None, description="Our position relative to the competitors."
        )
        competitors: Names | None = Field(None, description="Competitors in the deal.")

    class Project(Payload):
        """The customer's project."""

        resources: Literal["available", "partly", "missing"] | None = Field(
            None, description="Are people and resources available at the start of the project?"
        )
        start_in_months: Annotated[float, Field(ge=0)] | None = Field(
            None, description="Months until the project starts."
        )

    bant: Bant | None = None
    competition: Competition | None = None
    project: Project | None = None


class AssessmentRecorded(Payload):
    """A salesperson's own assessment. Each key becomes the field `assessment.<key>`."""

    rating: Literal["cold", "warm", "hot"] | None = Field(None, description="The salesperson's rating.")
    probability: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="Probability of winning the deal, 0 to 1."
    )
    by: Name | None = Field(None, description="Who made the assessment.")


class PageViewed(Payload):
    """A page was viewed. `path` is taken from `url` if it is not sent."""

    url: Text = Field(description="Address of the page, absolute or from the root.")
    path: Text | None = Field(None, description="Path of the address.")
    referrer: Text | None = Field(None, description="Where the visitor came from.")
    seconds: Annotated[float, Field(ge=0)] | None = Field(None, description="Seconds spent on the page.")

    @model_validator(mode="before")
    @classmethod
    def _path_from_url(cls, data: object) -> object:
        if isinstance(data, Mapping) and data.get("path") is None:
            url = data.get("url")
            # Longer ones are refused, and their paths would only fill the cache.
            if isinstance(url, str) and len(url) <= TEXT_LENGTH:
                return {**data, "path": path_of(url)}
        return data


class FormSubmitted(Payload):
    """A form was submitted."""

    form: Name = Field(description="Name of the form.")
    url: Text | None = Field(None, description="Address of the page with the form.")


class ContentDownloaded(Payload):
    """A document was downloaded."""

    content: Name = Field(description="Name of the document.")
    kind: Name | None = Field(None, description="Kind: whitepaper, case-study, price-list …")


class Email(Payload):
    """An email to the lead was opened or clicked."""

    campaign: Name | None = Field(None, description="Campaign of the email.")
    url: Text | None = Field(None, description="The link that was clicked.")
    machine: bool | None = Field(None, description="True if an email gateway, not a person, opened or clicked.")


class EmailBounced(Payload):
    """An email bounced."""

    kind: Literal["hard", "soft"] = Field("hard", description="Hard: the address does not exist.")
    campaign: Name | None = Field(None, description="Campaign of the email.")


class Attended(Payload):
    """A webinar or an event was attended."""

    name: Name = Field(description="Name of the webinar or event.")
    minutes: Annotated[float, Field(ge=0)] | None = Field(None, description="Minutes attended.")


class ProductInterest(Payload):
    """A demo was requested, or a trial was started."""

    product: Name | None = Field(None, description="Product.")


class CallLogged(Payload):
    """A phone call was made."""

    outcome: Literal["reached", "no_answer", "voicemail", "refused"] = Field(description="Result of the call.")
    minutes: Annotated[float, Field(ge=0)] | None = Field(None, description="Length of the call in minutes.")


class MeetingHeld(Payload):
    """A meeting took place."""

    minutes_sent: bool | None = Field(None, description="Were minutes of the meeting sent?")
    participants: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        None, description="Number of participants from the lead's company."
    )


class Handled(Payload):
    """Sales accepted or returned the lead, or won or lost the opportunity."""

    by: Name | None = Field(None, description="Who did it.")
    reason: Text | None = Field(None, description="The reason.")
    competitor: Name | None = Field(None, description="The competitor who won the deal.")
    value: Annotated[float, Field(ge=0)] | None = Field(None, description="Value of the deal.")


class StageChanged(Payload):
    """The opportunity moved to another stage of the funnel."""

    stage: Name = Field(description="The new stage.")
    previous: Name | None = Field(None, description="The stage before.")


class ConsentChanged(Payload):
    """Consent was given or withdrawn. Sets the fields `consent.<channel>`; `all` sets every channel."""

    channel: Literal["email", "phone", "all"] = Field("all", description="The channel.")
    status: Literal["granted", "withdrawn"] = Field(description="Granted or withdrawn.")


class Merged(Payload):
    """The lead is a duplicate of another one and was merged into it."""

    into: Name = Field(description="Id of the lead that remains.")


class Erased(Payload):
    """The person asked for their data to be erased."""

    reason: Text | None = Field(None, description="The reason.")


class Unsubscribed(Payload):
    """The person does not want any more email."""

    campaign: Name | None = Field(None, description="Campaign of the email.")


PAYLOADS: Mapping[str, type[Payload]] = {
    "lead.profile_updated": ProfileUpdated,
    "lead.qualification_updated": QualificationUpdated,
    "lead.assessment_recorded": AssessmentRecorded,
    "lead.page_viewed": PageViewed,
    "lead.form_submitted": FormSubmitted,
    "lead.content_downloaded": ContentDownloaded,
    "lead.email_opened": Email,
    "lead.email_clicked": Email,
    "lead.email_bounced": EmailBounced,
    "lead.unsubscribed": Unsubscribed,
    "lead.webinar_attended": Attended,
    "lead.event_attended": Attended,
    "lead.demo_requested": ProductInterest,
    "lead.trial_started": ProductInterest,
    "lead.call_logged": CallLogged,
    "lead.meeting_held": MeetingHeld,
    "lead.sales_accepted": Handled,
    "lead.sales_returned": Handled,
    "lead.stage_changed": StageChanged,
    "lead.opportunity_won": Handled,
    "lead.opportunity_lost": Handled,
    "lead.consent_changed": ConsentChanged,
    "lead.merged": Merged,
    "lead.erased": Erased,
}
"""Built-in activity types and their payloads. A custom `lead.*` type carries any JSON object."""

LISTING = frozenset({"lead.profile_updated", "lead.qualification_updated"})
"""The types whose payloads can contain lists of names and custom facts."""

DECISIVE: Mapping[str, frozenset[str]] = {
    "lead.consent_changed": frozenset({"channel", "status"}),
    "lead.merged": frozenset({"into"}),
    "lead.stage_changed": frozenset({"stage"}),
}
"""By type: the keys that must fit, because an activity without them says nothing, or it says something else. A stage, a
status and the lead that remains are all that their types say. `channel` may be left out, but a consent to a
channel that we do not know is no consent to all of them.

An activity counts without other required keys. A page was viewed whatever its address, and a call keeps the promise of
a hand-over whatever came of it."""


class Envelope(BaseModel):
    """The CloudEvents 1.0 attributes of an activity (https://github.com/cloudevents/spec, v1.0.2)."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    specversion: Literal["1.0"] = Field(description="CloudEvents version.")
    id: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        description="Identifies the activity together with `source`. A repeated activity counts once."
    )
    source: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="The sender, as a URI reference."
    )
    type: Annotated[str, StringConstraints(pattern=TYPE_PATTERN, max_length=128)] = Field(
        description="What happened: a built-in `lead.*` type or a custom one."
    )
    time: str = Field(
        description="When it happened, RFC 3339 with a time zone.", json_schema_extra={"format": "date-time"}
    )
    subject: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(description="The lead's id.")


# A msgspec struct for speed: see benchmarks/README.md. No garbage collection, because JSON has no cycles.
class LeadActivity(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened to one lead, validated.

    `time` is in microseconds since the epoch. `data` is the payload as plain values, without the keys that a built-in
    type does not name or that do not fit it; the payload of a custom activity type is complete. An absent key says
    nothing, None withdraws the value. `dropped` are the keys that did not fit the contract.
    """

    id: str
    source: str
    type: str
    time: int
    lead_id: str
    data: Mapping[str, object]
    dropped: tuple[Drop, ...] = ()

    @property
    def key(self) -> str:
        """Identifies the activity: `source` and `id` in one string. It decides between activities of equal time."""
        return f"{self.source}\n{self.id}"


def validate_data(activity_type: str, data: Mapping[str, object]) -> Mapping[str, object]:
    """The validated payload of an activity of that type, with only the keys that were sent.

    Raises `pydantic.ValidationError` if the payload does not fit the type.
    """
    payload = PAYLOADS.get(activity_type)
    if payload is None:
        return data
    return payload.model_validate(data).model_dump(exclude_unset=True)
