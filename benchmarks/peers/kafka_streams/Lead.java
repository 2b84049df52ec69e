import java.util.List;

/** What is known of one lead. A later event, by time, then id, writes a fact. */
final class Lead {
    long clock = Long.MIN_VALUE;
    final Counts[] counted = new Counts[Signal.ALL.length];
    /** The scoring rules that held when sales last returned the lead, as bits. */
    long rulesAtReturn;
    /** The last published decision; null before the first. */
    Decision published;

    private final Object[] values = new Object[Fact.ALL.length];
    private final long[] times = new long[Fact.ALL.length];
    private final String[] ids = new String[Fact.ALL.length];

    /** Returns whether the statement is newer than what is known. A null withdraws the fact. */
    boolean write(Fact fact, Object value, long time, String id) {
        int slot = fact.ordinal();
        if (ids[slot] != null && (times[slot] > time || (times[slot] == time && ids[slot].compareTo(id) >= 0))) {
            return false;
        }
        values[slot] = value;
        times[slot] = time;
        ids[slot] = id;
        return true;
    }

    boolean count(Signal signal, int day, long hash, int oldest) {
        Counts counts = counted[signal.ordinal()];
        if (counts == null) {
            counts = counted[signal.ordinal()] = new Counts();
        }
        return counts.add(day, hash, signal.dailyCap, oldest);
    }

    boolean known(Fact fact) {
        return values[fact.ordinal()] != null;
    }

    boolean is(Fact fact, Object value) {
        return value.equals(values[fact.ordinal()]);
    }

    String text(Fact fact) {
        Object value = values[fact.ordinal()];
        return value instanceof String ? (String) value : "";
    }

    /** The number; NaN, for which every comparison is false, if it is unknown. */
    double number(Fact fact) {
        Object value = values[fact.ordinal()];
        return value instanceof Double ? (Double) value : Double.NaN;
    }

    boolean contains(Fact fact, String name) {
        Object value = values[fact.ordinal()];
        return value instanceof List && ((List<?>) value).contains(name);
    }

    /** Days since something happened; NaN if it never did. */
    double daysSince(Fact milestone, long now) {
        return known(milestone) ? (double) (now - times[milestone.ordinal()]) / Event.DAY : Double.NaN;
    }

    long time(Fact fact) {
        return times[fact.ordinal()];
    }

    byte[] encode(Bytes.Writer out) {
        out.putLong(clock);
        out.putLong(rulesAtReturn);
        out.putByte(published == null ? 0 : 1);
        if (published != null) {
            published.write(out);
        }
        int known = 0;
        for (String id : ids) {
            known += id == null ? 0 : 1;
        }
        out.putByte(known);
        for (int slot = 0; slot < ids.length; slot++) {
            if (ids[slot] != null) {
                out.putByte(slot);
                out.putLong(times[slot]);
                out.putText(ids[slot]);
                out.putValue(values[slot]);
            }
        }
        for (Counts counts : counted) {
            if (counts == null) {
                out.putShort(0);
            } else {
                counts.write(out);
            }
        }
        return out.take();
    }

    static Lead decode(byte[] content) {
        Bytes.Reader in = new Bytes.Reader(content);
        Lead lead = new Lead();
        lead.clock = in.getLong();
        lead.rulesAtReturn = in.getLong();
        if (in.getByte() == 1) {
            lead.published = Decision.read(in);
        }
        for (int left = in.getByte(); left > 0; left--) {
            int slot = in.getByte();
            lead.times[slot] = in.getLong();
            lead.ids[slot] = in.getText();
            lead.values[slot] = in.getValue();
        }
        for (int signal = 0; signal < lead.counted.length; signal++) {
            Counts counts = Counts.read(in);
            lead.counted[signal] = counts.days() == 0 ? null : counts;
        }
        return lead;
    }
}
