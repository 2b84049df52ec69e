/** What a lead does: the signals of rules/b2b/signals.yaml. */
enum Signal {
    DEMO_REQUEST(20, 1, 20, 30),
    TRIAL_START(15, 1, 15, 30),
    CONTACT_FORM(10, 1, 15, 21),
    CHAT(6, 1, 12, 14),
    PRICING_VISIT(5, 2, 20, 14),
    PRODUCT_VISIT(2, 3, 10, 14),
    CASE_STUDY_VISIT(2, 2, 8, 21),
    DOCS_VISIT(1, 3, 6, 14),
    PRICE_LIST(8, 1, 8, 21),
    DOWNLOAD(4, 2, 12, 30),
    MAIL_OPEN(1, 1, 4, 14),
    MAIL_CLICK(3, 1, 9, 14),
    WEBINAR(6, 1, 12, 30),
    EVENT(6, 1, 12, 45),
    CALL_REACHED(4, 1, 8, 30),
    MEETING(10, 1, 20, 45),
    CALL_REFUSED(-10, 1, 20, 90),
    UNSUBSCRIBE(-15, 1, 15, 180),
    HARD_BOUNCE(-15, 1, 15, 0),
    CAREERS_PAGE(-6, 2, 18, 60);

    static final Signal[] ALL = values();
    private static final int WINDOW = 365;

    final int dailyCap;
    private final int limit;
    /** The points of one event by its age in days. */
    private final double[] byAge = new double[WINDOW];

    Signal(int points, int dailyCap, int limit, int halfLife) {
        this.dailyCap = dailyCap;
        this.limit = limit;
        for (int age = 0; age < WINDOW; age++) {
            byAge[age] = halfLife == 0 ? points : points * Math.pow(0.5, (double) age / halfLife);
        }
    }

    /** Whole points as of a UTC day; only the counts after `after` contribute. Halves are rounded away from zero. */
    int points(Counts counts, int today, int after) {
        double total = 0;
        for (int place = 0; place < counts.days(); place++) {
            int age = today - counts.day(place);
            if (age >= 0 && age < WINDOW && counts.day(place) > after) {
                total += Math.min(counts.count(place), dailyCap) * byAge[age];
            }
        }
        double size = Math.min(limit, Math.abs(total));
        int whole = (int) Math.floor(size + 0.5);
        return total < 0 ? -whole : whole;
    }
}
