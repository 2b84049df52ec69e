/** The result for a lead. `rating`: 0 cold, 1 warm, 2 hot. `fitGrade`: A to D. `queue` is empty if there is none. */
final class Decision {
    static final String[] RATINGS = {"cold", "warm", "hot"};
    private static final int SCORE_STEP = 10;

    final int rating;
    final char fitGrade;
    final int engagementGrade;
    final String route;
    final String queue;
    final int fit;
    final int engagement;
    final String rule;
    final long at;

    Decision(int fit, int engagement, int rating, char fitGrade, int engagementGrade, Route route, long at) {
        this(fit, engagement, rating, fitGrade, engagementGrade, route.route, route.queue, route.rule, at);
    }

    private Decision(
            int fit, int engagement, int rating, char fitGrade, int engagementGrade,
            String route, String queue, String rule, long at) {
        this.fit = fit;
        this.engagement = engagement;
        this.rating = rating;
        this.fitGrade = fitGrade;
        this.engagementGrade = engagementGrade;
        this.route = route;
        this.queue = queue;
        this.rule = rule;
        this.at = at;
    }

    int score() {
        return fit + engagement;
    }

    boolean isWorthPublishing(Decision last) {
        return last == null
            || rating != last.rating
            || fitGrade != last.fitGrade
            || engagementGrade != last.engagementGrade
            || !route.equals(last.route)
            || !queue.equals(last.queue)
            || Math.abs(score() - last.score()) >= SCORE_STEP;
    }

    String json(Event event) {
        StringBuilder text = new StringBuilder(320);
        text.append("{\"lead_id\":").append(Event.quoted(event.lead));
        text.append(",\"id\":").append(Event.quoted(event.id));
        text.append(",\"rating\":\"").append(RATINGS[rating]);
        text.append("\",\"grade\":\"").append(fitGrade).append(engagementGrade);
        text.append("\",\"route\":\"").append(route);
        text.append("\",\"queue\":").append(queue.isEmpty() ? "null" : '"' + queue + '"');
        text.append(",\"rule\":\"").append(rule);
        text.append("\",\"score\":{\"total\":").append(score());
        text.append(",\"fit\":").append(fit).append(",\"engagement\":").append(engagement);
        return text.append("}}").toString();
    }

    void write(Bytes.Writer out) {
        out.putByte(rating);
        out.putByte(fitGrade);
        out.putByte(engagementGrade);
        out.putText(route);
        out.putText(queue);
        out.putText(rule);
        out.putInt(fit);
        out.putInt(engagement);
        out.putLong(at);
    }

    static Decision read(Bytes.Reader in) {
        int rating = in.getByte();
        char fitGrade = (char) in.getByte();
        int engagementGrade = in.getByte();
        String route = in.getText();
        String queue = in.getText();
        String rule = in.getText();
        return new Decision(
            in.getInt(), in.getInt(), rating, fitGrade, engagementGrade, route, queue, rule, in.getLong());
    }
}
