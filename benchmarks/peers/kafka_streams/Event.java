import com.fasterxml.jackson.core.io.JsonStringEncoder;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.time.Instant;

/** An activity: a CloudEvent as JSON. Times are microseconds since the epoch. */
final class Event {
    static final long DAY = 86_400_000_000L;
    private static final ObjectMapper JSON = new ObjectMapper();

    final String id;
    final String source;
    final String type;
    final String lead;
    final JsonNode data;
    private final String moment;

    private Event(JsonNode event) {
        id = event.get("id").textValue();
        source = event.get("source").textValue();
        type = event.get("type").textValue();
        lead = event.get("subject").textValue();
        moment = event.get("time").textValue();
        data = event.get("data");
    }

    static Event parse(byte[] content) {
        try {
            return new Event(JSON.readTree(content));
        } catch (IOException error) {
            throw new IllegalArgumentException(error);
        }
    }

    long time() {
        Instant instant = Instant.parse(moment);
        return instant.getEpochSecond() * 1_000_000 + instant.getNano() / 1_000;
    }

    /** 64 bits of source and id (FNV-1a, mixed). */
    long hash() {
        long hash = mixed(mixed(0xcbf29ce484222325L, source), id);
        hash ^= hash >>> 33;
        hash *= 0xff51afd7ed558ccdL;
        return hash ^ (hash >>> 33);
    }

    private static long mixed(long hash, String text) {
        for (int place = 0; place < text.length(); place++) {
            hash = (hash ^ text.charAt(place)) * 0x100000001b3L;
        }
        return hash * 0x100000001b3L;
    }

    static String quoted(String text) {
        return '"' + new String(JsonStringEncoder.getInstance().quoteAsString(text)) + '"';
    }
}
