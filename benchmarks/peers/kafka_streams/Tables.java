import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The decision tables of rules/b2b, written by hand as code: criteria, signals, rating, grade and routing. Erased and
 * merged leads, reasons and dead letters are left out.
 */
final class Tables implements Judge {
    private static final int WARM = 30, HOT = 70, HYSTERESIS = 5;
    private static final Route
        COMPETITOR = new Route("competitor", "discard", ""),
        OPPORTUNITY_OPEN = new Route("opportunity-open", "sales", "opportunity-owner"),
        STUDENT = new Route("student", "discard", ""),
        NO_CONTACT = new Route("no-contact", "discard", ""),
        CUSTOMER_WANTS_MORE = new Route("customer-wants-more", "sales", "account-management"),
        CALL_ONLY = new Route("call-only", "sales", "inside-sales"),
        NO_MAIL = new Route("no-mail", "discard", ""),
        CUSTOMER = new Route("customer", "nurture", "customer-care"),
        LOST = new Route("lost", "nurture", "win-back"),
        RETURNED = new Route("returned", "nurture", "returned-by-sales"),
        WRITE_ONLY = new Route("write-only", "sales", "inside-sales"),
        KEY_ACCOUNT = new Route("key-account", "sales", "key-accounts"),
        READY = new Route("ready", "sales", "field-sales"),
        HOT_UNQUALIFIED = new Route("hot-unqualified", "sales", "inside-sales"),
        HANDOVER_COOLING = new Route("handover-cooling", "sales", "inside-sales"),
        WARM_ONE = new Route("warm", "nurture", "campaigns"),
        HOPELESS = new Route("hopeless", "discard", ""),
        COLD = new Route("cold", "nurture", "newsletter");

    private final Bytes.Writer out = new Bytes.Writer();
    /** The scoring rules that hold for the lead that is being judged, as bits, and the points of each. */
    private long holding;
    private final int[] pointsOf = new int[64];

    @Override
    public Outcome judge(byte[] value, byte[] known) {
        Event event = Event.parse(value);
        Lead lead = known == null ? new Lead() : Lead.decode(known);
        long time = event.time();
        if (!apply(lead, event, time)) {
            return new Outcome(null, null);
        }
        Decision decision = decide(lead);
        String said = null;
        if (decision.isWorthPublishing(lead.published)) {
            said = decision.json(event);
            publish(lead, decision);
        }
        return new Outcome(lead.encode(out), said);
    }

    private boolean apply(Lead lead, Event event, long time) {
        boolean changed = state(lead, event, time);
        int oldest = (int) Math.floorDiv(Math.max(time, lead.clock), Event.DAY) - Counts.KEEP_DAYS;
        int day = (int) Math.floorDiv(time, Event.DAY);
        if (day >= oldest) {
            changed |= count(lead, event, day, oldest);
        }
        if (time > lead.clock) {
            lead.clock = time;
            changed = true;
        }
        if (event.type.equals("lead.sales_returned") && lead.time(Fact.AT_SALES_RETURNED) == time) {
            decide(lead);
            lead.rulesAtReturn = holding;
        }
        return changed;
    }

    // --- What the lead states
    private static boolean state(Lead lead, Event event, long time) {
        JsonNode data = event.data;
        String id = event.id;
        switch (event.type) {
            case "lead.profile_updated":
                return section(lead, "profile", data, time, id);
            case "lead.qualification_updated":
                return section(lead, "bant", data.get("bant"), time, id)
                    | section(lead, "competition", data.get("competition"), time, id)
                    | section(lead, "project", data.get("project"), time, id);
            case "lead.assessment_recorded":
                return section(lead, "assessment", data, time, id);
            case "lead.consent_changed":
                String channel = data.path("channel").asText("all"), status = data.get("status").textValue();
                return (!channel.equals("phone") && lead.write(Fact.CONSENT_EMAIL, status, time, id))
                    | (!channel.equals("email") && lead.write(Fact.CONSENT_PHONE, status, time, id));
            case "lead.unsubscribed":
                return lead.write(Fact.CONSENT_EMAIL, "withdrawn", time, id);
            case "lead.demo_requested":
                return lead.write(Fact.AT_DEMO_REQUESTED, true, time, id);
            case "lead.trial_started":
                return lead.write(Fact.AT_TRIAL_STARTED, true, time, id);
            case "lead.meeting_held":
                return lead.write(Fact.AT_MEETING_HELD, true, time, id);
            case "lead.call_logged":
                return lead.write(Fact.AT_CALL_LOGGED, true, time, id);
            case "lead.sales_accepted":
                return status(lead, "accepted", Fact.AT_SALES_ACCEPTED, time, id);
            case "lead.sales_returned":
                return status(lead, "returned", Fact.AT_SALES_RETURNED, time, id);
            case "lead.opportunity_won":
                return status(lead, "won", Fact.AT_OPPORTUNITY_WON, time, id);
            case "lead.opportunity_lost":
                return status(lead, "lost", Fact.AT_OPPORTUNITY_LOST, time, id);
            default:
                return false;
        }
    }

    private static boolean status(Lead lead, String status, Fact milestone, long time, String id) {
        return lead.write(milestone, true, time, id) | lead.write(Fact.STATUS, status, time, id);
    }

    private static boolean section(Lead lead, String name, JsonNode data, long time, String id) {
        if (data == null) {
            return false;
        }
        boolean changed = false;
        Map<String, Fact> facts = Fact.section(name);
        for (Map.Entry<String, JsonNode> field : data.properties()) {
            Fact fact = facts.get(field.getKey());
            if (fact != null) {
                changed |= lead.write(fact, plain(field.getValue()), time, id);
            }
        }
        return changed;
    }

    private static Object plain(JsonNode value) {
        if (value.isTextual()) {
            return value.textValue();
        }
        if (value.isNumber()) {
            return value.doubleValue();
        }
        if (value.isBoolean()) {
            return value.booleanValue();
        }
        if (value.isArray()) {
            List<String> names = new ArrayList<>();
            value.forEach(name -> names.add(name.textValue()));
            return names;
        }
        return null;
    }

    // --- What the lead does
    private static boolean count(Lead lead, Event event, int day, int oldest) {
        JsonNode data = event.data;
        switch (event.type) {
            case "lead.page_viewed":
                Signal page = page(path(data));
                return page != null && lead.count(page, day, event.hash(), oldest);
            case "lead.email_opened":
                return !data.path("machine").asBoolean() && lead.count(Signal.MAIL_OPEN, day, event.hash(), oldest);
            case "lead.email_clicked":
                return !data.path("machine").asBoolean()
                    && !data.path("url").asText("").contains("unsubscribe")
                    && lead.count(Signal.MAIL_CLICK, day, event.hash(), oldest);
            case "lead.content_downloaded":
                boolean isPriceList = data.path("kind").asText("").equals("price-list");
                return lead.count(isPriceList ? Signal.PRICE_LIST : Signal.DOWNLOAD, day, event.hash(), oldest);
            case "lead.form_submitted":
                String form = data.path("form").asText("");
                return (form.equals("contact") || form.equals("quote") || form.equals("call-me"))
                    && lead.count(Signal.CONTACT_FORM, day, event.hash(), oldest);
            case "lead.webinar_attended":
                return data.path("minutes").asDouble(15) >= 15 && lead.count(Signal.WEBINAR, day, event.hash(), oldest);
            case "lead.call_logged":
                String outcome = data.path("outcome").asText("");
                return (outcome.equals("reached") && lead.count(Signal.CALL_REACHED, day, event.hash(), oldest))
                    || (outcome.equals("refused") && lead.count(Signal.CALL_REFUSED, day, event.hash(), oldest));
            case "lead.email_bounced":
                return data.path("kind").asText("hard").equals("hard")
                    && lead.count(Signal.HARD_BOUNCE, day, event.hash(), oldest);
            case "lead.demo_requested":
                return lead.count(Signal.DEMO_REQUEST, day, event.hash(), oldest);
            case "lead.trial_started":
                return lead.count(Signal.TRIAL_START, day, event.hash(), oldest);
            case "lead.chat_started":
                return lead.count(Signal.CHAT, day, event.hash(), oldest);
            case "lead.event_attended":
                return lead.count(Signal.EVENT, day, event.hash(), oldest);
            case "lead.meeting_held":
                return lead.count(Signal.MEETING, day, event.hash(), oldest);
            case "lead.unsubscribed":
                return lead.count(Signal.UNSUBSCRIBE, day, event.hash(), oldest);
            default:
                return false;
        }
    }

    private static String path(JsonNode data) {
        if (data.hasNonNull("path")) {
            return data.get("path").textValue();
        }
        String url = data.get("url").textValue();
        int scheme = url.indexOf("://");
        int start = scheme < 0 ? 0 : url.indexOf('/', scheme + 3);
        return start < 0 ? "/" : url.substring(start);
    }

    private static Signal page(String path) {
        if (path.startsWith("/pricing")) {
            return Signal.PRICING_VISIT;
        }
        if (path.startsWith("/product")) {
            return Signal.PRODUCT_VISIT;
        }
        if (path.startsWith("/case-studies")) {
            return Signal.CASE_STUDY_VISIT;
        }
        if (path.startsWith("/docs")) {
            return Signal.DOCS_VISIT;
        }
        return path.startsWith("/careers") ? Signal.CAREERS_PAGE : null;
    }

    // --- The verdict
    private Decision decide(Lead lead) {
        long now = lead.clock;
        holding = 0;
        int budget = budget(lead), authority = authority(lead), need = need(lead), timeline = timeline(lead);
        int fit = budget + authority + need + timeline + position(lead) + resources(lead) + assessment(lead)
            + size(lead) + industry(lead) + technology(lead) + location(lead) + contact(lead) + origin(lead)
            + history(lead, now) + freshness(lead, now);
        int met = (budget >= 10 ? 1 : 0) + (authority >= 8 ? 1 : 0) + (need >= 10 ? 1 : 0) + (timeline >= 10 ? 1 : 0);
        int today = (int) Math.floorDiv(now, Event.DAY);
        int engagement = 0, bounced = 0;
        for (Signal signal : Signal.ALL) {
            Counts counts = lead.counted[signal.ordinal()];
            if (counts != null) {
                int points = signal.points(counts, today, Integer.MIN_VALUE);
                engagement += points;
                bounced = signal == Signal.HARD_BOUNCE ? points : bounced;
            }
        }
        int total = fit + engagement;
        int rating = rating(total);
        if (lead.published != null) {
            rating = Math.max(rating, Math.min(lead.published.rating, rating(total + HYSTERESIS)));
        }
        char letter = fit >= 60 ? 'A' : fit >= 35 ? 'B' : fit >= 15 ? 'C' : 'D';
        int figure = engagement >= 30 ? 1 : engagement >= 15 ? 2 : engagement >= 5 ? 3 : 4;
        Route route = route(lead, now, total, engagement, rating, met, bounced, today);
        return new Decision(fit, engagement, rating, letter, figure, route, now);
    }

    private static int rating(int total) {
        return total >= HOT ? 2 : total >= WARM ? 1 : 0;
    }

    private static void publish(Lead lead, Decision decision) {
        boolean wasWithSales = lead.published != null && lead.published.route.equals("sales");
        if (decision.route.equals("sales") && !wasWithSales && !lead.is(Fact.STATUS, "accepted")) {
            lead.write(Fact.STATUS, "handed_over", decision.at, "");
            lead.write(Fact.AT_HANDED_OVER, true, decision.at, "");
        }
        lead.published = decision;
    }

    /** The rule holds. */
    private int rule(int number, int points) {
        holding |= 1L << number;
        pointsOf[number] = points;
        return points;
    }

    private int sinceReturn(Lead lead, int today) {
        int points = 0;
        for (long left = holding & ~lead.rulesAtReturn; left != 0; left &= left - 1) {
            points += pointsOf[Long.numberOfTrailingZeros(left)];
        }
        int day = (int) Math.floorDiv(lead.time(Fact.AT_SALES_RETURNED), Event.DAY);
        for (Signal signal : Signal.ALL) {
            Counts counts = lead.counted[signal.ordinal()];
            points += counts == null ? 0 : signal.points(counts, today, day);
        }
        return points;
    }

    // --- Criteria
    private int budget(Lead lead) {
        switch (lead.text(Fact.BUDGET_STATUS)) {
            case "approved":
                return lead.number(Fact.BUDGET_AMOUNT) >= 50_000 ? rule(0, 20) : rule(1, 15);
            case "planned":
                return rule(2, 10);
            case "requested":
                return rule(3, 5);
            case "none":
                return rule(4, -10);
            default:
                return 0;
        }
    }

    private int authority(Lead lead) {
        switch (lead.text(Fact.AUTHORITY)) {
            case "decision_maker":
                return rule(5, 15);
            case "influencer":
                return rule(6, 8);
            case "user":
                return rule(7, 3);
            case "none":
                return rule(8, -5);
            default:
                return 0;
        }
    }

    private int need(Lead lead) {
        switch (lead.text(Fact.NEED)) {
            case "critical":
                return rule(9, 15);
            case "important":
                return rule(10, 10);
            case "useful":
                return rule(11, 4);
            case "none":
                return rule(12, -15);
            default:
                return 0;
        }
    }

    private int timeline(Lead lead) {
        double months = lead.number(Fact.TIMELINE_MONTHS);
        if (months <= 3) {
            return rule(13, 15);
        }
        if (months <= 6) {
            return rule(14, 10);
        }
        if (months <= 12) {
            return rule(15, 3);
        }
        return months > 12 ? rule(16, -8) : 0;
    }

    private int position(Lead lead) {
        switch (lead.text(Fact.POSITION)) {
            case "sole":
                return rule(17, 8);
            case "preferred":
                return rule(18, 6);
            case "even":
                return rule(19, 2);
            case "behind":
                return rule(20, -8);
            default:
                return 0;
        }
    }

    private int resources(Lead lead) {
        switch (lead.text(Fact.RESOURCES)) {
            case "available":
                return rule(21, 8);
            case "partly":
                return rule(22, 3);
            case "missing":
                return rule(23, -6);
            default:
                return 0;
        }
    }

    private int assessment(Lead lead) {
        int points = 0;
        switch (lead.text(Fact.ASSESSED)) {
            case "hot":
                points = rule(24, 10);
                break;
            case "warm":
                points = rule(25, 4);
                break;
            case "cold":
                points = rule(26, -12);
                break;
            default:
        }
        double probability = lead.number(Fact.PROBABILITY);
        if (probability >= 0.6) {
            points += rule(27, 5);
        } else if (probability < 0.2) {
            points += rule(28, -5);
        }
        return Math.max(-15, Math.min(12, points));
    }

    private int size(Lead lead) {
        double employees = lead.number(Fact.EMPLOYEES);
        if (employees >= 1_000) {
            return rule(29, 10);
        }
        if (employees >= 250) {
            return rule(30, 8);
        }
        if (employees >= 50) {
            return rule(31, 5);
        }
        if (employees >= 10) {
            return rule(32, 2);
        }
        if (employees < 10) {
            return rule(33, -3);
        }
        return lead.number(Fact.ANNUAL_REVENUE) >= 50_000_000 ? rule(34, 8) : 0;
    }

    private int industry(Lead lead) {
        switch (lead.text(Fact.INDUSTRY)) {
            case "manufacturing": case "logistics":
                return rule(35, 8);
            case "retail": case "healthcare": case "energy": case "construction":
                return rule(36, 4);
            case "public sector": case "hospitality":
                return rule(37, -5);
            default:
                return 0;
        }
    }

    private int technology(Lead lead) {
        boolean has = lead.contains(Fact.TECHNOLOGIES, "SAP S/4HANA")
            || lead.contains(Fact.TECHNOLOGIES, "Microsoft Dynamics");
        return has ? rule(38, 4) : 0;
    }

    private int location(Lead lead) {
        switch (lead.text(Fact.COUNTRY)) {
            case "DE": case "AT": case "CH":
                return rule(39, 5);
            case "GB": case "FR": case "NL": case "BE": case "SE": case "DK":
                return rule(40, 2);
            default:
                return lead.known(Fact.COUNTRY) ? rule(41, -8) : 0;
        }
    }

    private int contact(Lead lead) {
        int points = 0;
        switch (lead.text(Fact.JOB_LEVEL)) {
            case "executive":
                points = rule(42, 7);
                break;
            case "director":
                points = rule(43, 6);
                break;
            case "manager":
                points = rule(44, 4);
                break;
            case "student":
                points = rule(45, -10);
                break;
            default:
        }
        String department = lead.text(Fact.DEPARTMENT);
        if (department.equals("operations") || department.equals("it")) {
            points += rule(46, 2);
        }
        switch (lead.text(Fact.EMAIL_KIND)) {
            case "business":
                points += rule(47, 2);
                break;
            case "free":
                points += rule(48, -3);
                break;
            case "disposable":
                points += rule(49, -12);
                break;
            default:
        }
        return Math.max(-15, Math.min(10, points));
    }

    private int origin(Lead lead) {
        switch (lead.text(Fact.LEAD_SOURCE)) {
            case "recommendation": case "colleague": case "partner":
                return rule(50, 4);
            case "fair":
                return rule(51, 2);
            default:
                return 0;
        }
    }

    private int history(Lead lead, long now) {
        if (lead.known(Fact.AT_OPPORTUNITY_WON)) {
            return rule(52, -30);
        }
        if (lead.daysSince(Fact.AT_OPPORTUNITY_LOST, now) <= 365) {
            return rule(53, -30);
        }
        return lead.daysSince(Fact.AT_SALES_RETURNED, now) <= 180 ? rule(54, -15) : 0;
    }

    private int freshness(Lead lead, long now) {
        return lead.known(Fact.NEED) && lead.daysSince(Fact.AT_CALL_LOGGED, now) > 180 ? rule(55, -25) : 0;
    }

    // --- Routing. A lead is judged as of its latest activity, so it is never a year since the last one.
    private Route route(
            Lead lead, long now, int total, int engagement, int rating, int met, int bounced, int today) {
        if (lead.is(Fact.IS_COMPETITOR, true)) {
            return COMPETITOR;
        }
        if (lead.is(Fact.STATUS, "accepted")) {
            return OPPORTUNITY_OPEN;
        }
        if (lead.is(Fact.JOB_LEVEL, "student")
                || (lead.is(Fact.EMAIL_KIND, "university") && !lead.known(Fact.JOB_LEVEL))) {
            return STUDENT;
        }
        boolean noMail = lead.is(Fact.CONSENT_EMAIL, "withdrawn"), noCall = lead.is(Fact.CONSENT_PHONE, "withdrawn");
        if (noMail && noCall) {
            return NO_CONTACT;
        }
        boolean isCustomer = lead.is(Fact.IS_CUSTOMER, true) || lead.known(Fact.AT_OPPORTUNITY_WON);
        if (isCustomer
                && !(lead.daysSince(Fact.AT_OPPORTUNITY_WON, now) < 30)
                && (lead.daysSince(Fact.AT_DEMO_REQUESTED, now) < 30
                    || lead.daysSince(Fact.AT_TRIAL_STARTED, now) < 30)) {
            return CUSTOMER_WANTS_MORE;
        }
        boolean isLost = lead.is(Fact.STATUS, "lost");
        boolean isReturned = lead.is(Fact.STATUS, "returned") && sinceReturn(lead, today) < 25;
        if (noMail) {
            return rating == 2 && !isCustomer && !isLost && !isReturned ? CALL_ONLY : NO_MAIL;
        }
        if (isCustomer) {
            return CUSTOMER;
        }
        if (isLost && (lead.daysSince(Fact.AT_OPPORTUNITY_LOST, now) < 90 || engagement < 20)) {
            return LOST;
        }
        if (isReturned) {
            return RETURNED;
        }
        if (rating == 2) {
            if (noCall) {
                return WRITE_ONLY;
            }
            if (met < 3) {
                return HOT_UNQUALIFIED;
            }
            boolean isLarge = lead.number(Fact.EMPLOYEES) >= 1_000 || lead.number(Fact.BUDGET_AMOUNT) >= 100_000;
            return isLarge ? KEY_ACCOUNT : READY;
        }
        if (rating == 1) {
            boolean isCooling = lead.is(Fact.STATUS, "handed_over")
                && lead.daysSince(Fact.AT_HANDED_OVER, now) < 14;
            return isCooling ? HANDOVER_COOLING : WARM_ONE;
        }
        boolean isHopeless = total <= -15
            || bounced < 0
            || (lead.is(Fact.NEED, "none") && lead.is(Fact.BUDGET_STATUS, "none"));
        return isHopeless ? HOPELESS : COLD;
    }
}
