import java.util.HashMap;
import java.util.Map;

/** What a lead can state about itself, and the latest time of what happened to it (`AT_...`). */
enum Fact {
    COMPANY("profile.company"),
    INDUSTRY("profile.industry"),
    EMPLOYEES("profile.employees"),
    ANNUAL_REVENUE("profile.annual_revenue"),
    COUNTRY("profile.country"),
    LANGUAGE("profile.language"),
    JOB_TITLE("profile.job_title"),
    JOB_LEVEL("profile.job_level"),
    DEPARTMENT("profile.department"),
    EMAIL_DOMAIN("profile.email_domain"),
    EMAIL_KIND("profile.email_kind"),
    TECHNOLOGIES("profile.technologies"),
    LEAD_SOURCE("profile.lead_source"),
    IS_COMPETITOR("profile.is_competitor"),
    IS_CUSTOMER("profile.is_customer"),
    BUDGET_STATUS("bant.budget_status"),
    BUDGET_AMOUNT("bant.budget_amount"),
    AUTHORITY("bant.authority"),
    NEED("bant.need"),
    TIMELINE_MONTHS("bant.timeline_months"),
    POSITION("competition.position"),
    COMPETITORS("competition.competitors"),
    RESOURCES("project.resources"),
    START_IN_MONTHS("project.start_in_months"),
    ASSESSED("assessment.rating"),
    PROBABILITY("assessment.probability"),
    CONSENT_EMAIL("consent.email"),
    CONSENT_PHONE("consent.phone"),
    STATUS("lifecycle.status"),
    AT_DEMO_REQUESTED("at.demo_requested"),
    AT_TRIAL_STARTED("at.trial_started"),
    AT_MEETING_HELD("at.meeting_held"),
    AT_CALL_LOGGED("at.call_logged"),
    AT_SALES_ACCEPTED("at.sales_accepted"),
    AT_SALES_RETURNED("at.sales_returned"),
    AT_OPPORTUNITY_WON("at.opportunity_won"),
    AT_OPPORTUNITY_LOST("at.opportunity_lost"),
    AT_HANDED_OVER("at.handed_over");

    static final Fact[] ALL = values();
    private static final Map<String, Map<String, Fact>> BY_SECTION = new HashMap<>();

    static {
        for (Fact fact : ALL) {
            int dot = fact.path.indexOf('.');
            BY_SECTION
                .computeIfAbsent(fact.path.substring(0, dot), section -> new HashMap<>())
                .put(fact.path.substring(dot + 1), fact);
        }
    }

    private final String path;

    Fact(String path) {
        this.path = path;
    }

    /** The facts of a section by the rest of their names. */
    static Map<String, Fact> section(String name) {
        return BY_SECTION.get(name);
    }
}
