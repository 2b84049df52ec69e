import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.function.Supplier;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * A job on Kafka Streams, exactly once, with a store in memory and its changelog; otherwise with its defaults.
 *
 * Main tables|weights BOOTSTRAP STATE_FOLDER. Main tables -: activities on stdin, decisions on stdout, no Kafka.
 */
final class Main {
    private static final String STORE = "leads";
    /** By default it stays a member until its session ends, and the next run would have to wait for that. */
    private static final CloseOptions LEAVE = CloseOptions
        .timeout(Duration.ofSeconds(10))
        .withGroupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP);

    private Main() {}

    public static void main(String[] arguments) throws IOException {
        Supplier<Judge> job = arguments[0].equals("tables") ? Tables::new : TenWeights::new;
        if (arguments[1].equals("-")) {
            offline(job.get());
            return;
        }
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "bench");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[2]);
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put("auto.offset.reset", "earliest");
        KafkaStreams streams = new KafkaStreams(topology(job), settings);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(LEAVE)));
        streams.start();
    }

    private static Topology topology(Supplier<Judge> job) {
        Topology topology = new Topology();
        topology.addSource("activities", new ByteArrayDeserializer(), new ByteArrayDeserializer(), "lead.activity");
        topology.addProcessor("judge", () -> new Scorer(job.get()), "activities");
        topology.addStateStore(
            Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(STORE), Serdes.Bytes(), Serdes.ByteArray())
                .withCachingEnabled(),
            "judge");
        topology.addSink("decisions", "lead.routing", new ByteArraySerializer(), new ByteArraySerializer(), "judge");
        return topology;
    }

    private static final class Scorer implements Processor<byte[], byte[], byte[], byte[]> {
        private final Judge judge;
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<org.apache.kafka.common.utils.Bytes, byte[]> leads;

        Scorer(Judge judge) {
            this.judge = judge;
        }

        @Override
        public void init(ProcessorContext<byte[], byte[]> given) {
            context = given;
            leads = given.getStateStore(STORE);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            org.apache.kafka.common.utils.Bytes key = org.apache.kafka.common.utils.Bytes.wrap(record.key());
            Judge.Outcome outcome = judge.judge(record.value(), leads.get(key));
            if (outcome.state() != null) {
                leads.put(key, outcome.state());
            }
            if (outcome.decision() != null) {
                context.forward(record.withValue(outcome.decision().getBytes(StandardCharsets.UTF_8)));
            }
        }
    }

    private static void offline(Judge judge) throws IOException {
        Map<String, byte[]> leads = new HashMap<>();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            byte[] value = line.getBytes(StandardCharsets.UTF_8);
            String lead = Event.parse(value).lead;
            Judge.Outcome outcome = judge.judge(value, leads.get(lead));
            if (outcome.state() != null) {
                leads.put(lead, outcome.state());
            }
            if (outcome.decision() != null) {
                out.println(outcome.decision());
            }
        }
        out.flush();
    }
}
