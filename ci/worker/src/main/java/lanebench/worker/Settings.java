package lanebench.worker;

import java.util.Map;

/** What the harness tells a worker, all of it by environment; docs/worker.md says what each means. */
record Settings(
    String bootstrap,
    String topic,
    String group,
    int consumers,
    Mode mode,
    String databaseUrl,
    String schema,
    String redisUrl,
    String keyPrefix,
    String ownTimes) {

    static Settings of(Map<String, String> environment) {
        String consumers = required(environment, "LANEBENCH_CONSUMERS");
        if (!consumers.matches("[1-9]\\d{0,3}")) {
            throw new IllegalArgumentException("LANEBENCH_CONSUMERS is no number of consumers: " + consumers);
        }
        return new Settings(
            required(environment, "LANEBENCH_BOOTSTRAP"),
            required(environment, "LANEBENCH_TOPIC"),
            required(environment, "LANEBENCH_GROUP"),
            Integer.parseInt(consumers),
            Mode.named(environment.getOrDefault("LANEBENCH_MODE", "record")),
            required(environment, "LANEBENCH_DATABASE_URL"),
            required(environment, "LANEBENCH_SCHEMA"),
            required(environment, "LANEBENCH_REDIS_URL"),
            environment.getOrDefault("LANEBENCH_KEY_PREFIX", ""),
            environment.get("WORKER_OWN_TIMES"));
    }

    private static String required(Map<String, String> environment, String name) {
        String value = environment.get(name);
        if (value == null || value.isEmpty()) {
            throw new IllegalArgumentException(name + " is not set");
        }
        return value;
    }
}
