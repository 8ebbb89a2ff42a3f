package lanebench.worker;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorCompletionService;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** Runs as many members of the group as it is told to, until SIGTERM. */
public final class Worker {
    /** Below the 10 s after which the harness calls a stop failed. */
    private static final long STOP_SECONDS = 9;

    private Worker() {}

    public static void main(String[] args) throws InterruptedException, IOException {
        // Before the first logger: the clients print every setting at the level below.
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel",
            System.getProperty("org.slf4j.simpleLogger.defaultLogLevel", "warn"));
        Settings settings;
        try {
            settings = Settings.of(System.getenv());
        } catch (IllegalArgumentException missing) {
            System.err.println("error: " + missing.getMessage());
            System.exit(2);
            return;
        }
        List<GroupMember> members = new ArrayList<>();
        Tally tally = new Tally(settings);
        for (int i = 0; i < settings.consumers(); i++) {
            members.add(GroupMember.of(settings, "java-" + i, tally));
        }
        AtomicInteger exitCode = new AtomicInteger();
        ExecutorService threads = Executors.newFixedThreadPool(members.size());
        Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(members, threads, exitCode)));

        ExecutorCompletionService<Void> running = new ExecutorCompletionService<>(threads);
        members.forEach(running::submit);
        try {
            running.take().get(); // a member ends when it is told to, or when it can't go on
        } catch (ExecutionException failed) {
            failed.getCause().printStackTrace();
            exitCode.set(1);
            System.exit(1);
        }
    }

    private static void stop(List<GroupMember> members, ExecutorService threads, AtomicInteger exitCode) {
        members.forEach(GroupMember::stop);
        threads.shutdown();
        try {
            if (!threads.awaitTermination(STOP_SECONDS, TimeUnit.SECONDS)) {
                System.err.println("error: not stopped within " + STOP_SECONDS + " s");
                exitCode.set(1);
            }
        } catch (InterruptedException interrupted) {
            exitCode.set(1);
        }
        // Without this the JVM reports 143 to whoever sent SIGTERM, and not how the stop went.
        Runtime.getRuntime().halt(exitCode.get());
    }
}
