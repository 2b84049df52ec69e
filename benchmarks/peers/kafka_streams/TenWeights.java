import com.fasterxml.jackson.databind.JsonNode;
import java.util.Map;

/** The job of `peers/ten_weights.py`. */
final class TenWeights implements Judge {
    private static final Map<String, Integer> WEIGHTS = Map.of(
        "lead.page_viewed", 1,
        "lead.email_opened", 1,
        "lead.email_clicked", 3,
        "lead.content_downloaded", 4,
        "lead.form_submitted", 10,
        "lead.webinar_attended", 6,
        "lead.call_logged", 4);
    private static final String[] TYPES = {
        "lead.page_viewed", "lead.email_opened", "lead.email_clicked", "lead.content_downloaded",
        "lead.form_submitted", "lead.webinar_attended", "lead.call_logged",
    };
    private static final Map<String, Integer> BUDGET = Map.of("approved", 20, "planned", 10, "requested", 5, "none", -10);
    private static final Map<String, Integer> NEED = Map.of("critical", 15, "important", 10, "useful", 4);
    private static final int NOTHING_SAID = -1;

    private final Bytes.Writer out = new Bytes.Writer();
    private final int[] counts = new int[TYPES.length];

    @Override
    public Outcome judge(byte[] value, byte[] known) {
        Event event = Event.parse(value);
        int fit = 0, rated = NOTHING_SAID, said = 0;
        Bytes.Reader in = known == null ? null : new Bytes.Reader(known);
        if (in != null) {
            fit = in.getInt();
            rated = in.getByte();
            said = in.getInt();
        }
        int points = 0;
        for (int type = 0; type < TYPES.length; type++) {
            counts[type] = (in == null ? 0 : in.getInt()) + (TYPES[type].equals(event.type) ? 1 : 0);
            points += Math.min(20, WEIGHTS.get(TYPES[type]) * counts[type]);
        }
        if (event.type.equals("lead.qualification_updated")) {
            JsonNode bant = event.data.get("bant");
            fit = BUDGET.getOrDefault(bant.get("budget_status").textValue(), 0)
                + NEED.getOrDefault(bant.get("need").textValue(), 0);
        }
        points += fit;
        int rating = points >= 70 ? 2 : points >= 30 ? 1 : 0;
        String decision = null;
        if (rating != rated || Math.abs(points - said) >= 10) {
            rated = rating;
            said = points;
            decision = "{\"lead\":" + Event.quoted(event.lead) + ",\"id\":" + Event.quoted(event.id)
                + ",\"rating\":\"" + Decision.RATINGS[rating] + "\",\"points\":" + points + "}";
        }
        out.putInt(fit);
        out.putByte(rated);
        out.putInt(said);
        for (int count : counts) {
            out.putInt(count);
        }
        return new Outcome(out.take(), decision);
    }
}
