import java.util.Arrays;

/** The events of one signal: for each UTC day, in ascending order, the smallest hashes of its events. */
final class Counts {
    static final int KEEP_DAYS = 730;

    private int[] days = new int[4];
    private long[][] hashes = new long[4][];
    private int size;

    int days() {
        return size;
    }

    int day(int place) {
        return days[place];
    }

    int count(int place) {
        return hashes[place].length;
    }

    /** Count an event. Returns whether anything changed: a repeated event, or one too many of a day, changes nothing. */
    boolean add(int day, long hash, int dailyCap, int oldest) {
        int place = size;
        while (place > 0 && days[place - 1] > day) {
            place--;
        }
        if (place > 0 && days[place - 1] == day) {
            long[] known = hashes[place - 1];
            int at = Arrays.binarySearch(known, hash);
            if (at >= 0 || (known.length >= dailyCap && -at - 1 == known.length)) {
                return false;
            }
            long[] more = Arrays.copyOf(known, known.length + 1);
            more[known.length] = hash;
            Arrays.sort(more);
            hashes[place - 1] = Arrays.copyOf(more, Math.min(more.length, dailyCap));
        } else {
            insert(place, day, new long[] {hash});
        }
        forgetBefore(oldest);
        return true;
    }

    private void insert(int place, int day, long[] own) {
        if (size == days.length) {
            days = Arrays.copyOf(days, 2 * size);
            hashes = Arrays.copyOf(hashes, 2 * size);
        }
        System.arraycopy(days, place, days, place + 1, size - place);
        System.arraycopy(hashes, place, hashes, place + 1, size - place);
        days[place] = day;
        hashes[place] = own;
        size++;
    }

    private void forgetBefore(int oldest) {
        int old = 0;
        while (old < size && days[old] < oldest) {
            old++;
        }
        if (old > 0) {
            System.arraycopy(days, old, days, 0, size - old);
            System.arraycopy(hashes, old, hashes, 0, size - old);
            size -= old;
        }
    }

    void write(Bytes.Writer out) {
        out.putShort(size);
        for (int place = 0; place < size; place++) {
            out.putInt(days[place]);
            out.putByte(hashes[place].length);
            for (long hash : hashes[place]) {
                out.putLong(hash);
            }
        }
    }

    static Counts read(Bytes.Reader in) {
        Counts counts = new Counts();
        int size = in.getShort();
        for (int place = 0; place < size; place++) {
            int day = in.getInt();
            long[] own = new long[in.getByte()];
            for (int index = 0; index < own.length; index++) {
                own[index] = in.getLong();
            }
            counts.insert(place, day, own);
        }
        return counts;
    }
}
