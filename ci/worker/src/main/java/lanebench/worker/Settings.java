package lanebench.worker;

import java.util.Map;

/**
 * What the harness tells a worker, all of it by environment; docs/worker.md says what each means.
 *
 * <p>Of this worker alone are {@code LANEBENCH_STORE=none}, with which it keeps nothing, so that its consuming side is
 * measured by itself, and with it {@code LANEBENCH_EVENTS} and {@code LANEBENCH_WARM_UP}: see {@link Tally}.
 *
 * @param keepsNothing leaves the store and the view out
 * @param events ends after so many; 0: never
 * @param warmUp events of these that are not counted
 */
record Settings(
    String bootstrap,
    String topic,
    String group,
    int consumers,
    Mode mode,
    ServiceTime serviceTime,
    String databaseUrl,
    String schema,
    String redisUrl,
    String keyPrefix,
    boolean keepsNothing,
    long events,
    long warmUp,
    String ownTimes) {

    static Settings of(Map<String, String> environment) {
        String consumers = required(environment, "LANEBENCH_CONSUMERS");
        if (!consumers.matches("[1-9]\\d{0,3}")) {
            throw new IllegalArgumentException("LANEBENCH_CONSUMERS is no number of consumers: " + consumers);
        }
        String store = environment.getOrDefault("LANEBENCH_STORE", "");
        if (!store.isEmpty() && !store.equals("none")) {
            throw new IllegalArgumentException("LANEBENCH_STORE is set, and not to none: " + store);
        }
        boolean keepsNothing = !store.isEmpty();
        return new Settings(
            required(environment, "LANEBENCH_BOOTSTRAP"),
            required(environment, "LANEBENCH_TOPIC"),
            required(environment, "LANEBENCH_GROUP"),
            Integer.parseInt(consumers),
            Mode.named(environment.getOrDefault("LANEBENCH_MODE", "record")),
            ServiceTime.named(environment.getOrDefault("LANEBENCH_SERVICE_TIME", "0s")),
            required(environment, "LANEBENCH_DATABASE_URL"),
            required(environment, "LANEBENCH_SCHEMA"),
            required(environment, "LANEBENCH_REDIS_URL"),
            environment.getOrDefault("LANEBENCH_KEY_PREFIX", ""),
            keepsNothing,
            keepsNothing ? events(environment, "LANEBENCH_EVENTS", "0") : 0,
            keepsNothing ? Math.max(1, events(environment, "LANEBENCH_WARM_UP", "1")) : 0,
            environment.get("WORKER_OWN_TIMES"));
    }

    private static long events(Map<String, String> environment, String name, String otherwise) {
        String events = environment.getOrDefault(name, otherwise);
        if (!events.matches("\\d{1,9}")) {
            throw new IllegalArgumentException(name + " is no number of events: " + events);
        }
        return Long.parseLong(events);
    }

    private static String required(Map<String, String> environment, String name) {
        String value = environment.get(name);
        if (value == null || value.isEmpty()) {
            throw new IllegalArgumentException(name + " is not set");
        }
        return value;
    }
}
