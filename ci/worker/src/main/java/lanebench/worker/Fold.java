package lanebench.worker;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;

/** Consecutive events of one order, at least one. The row gets the last of them, which supersedes the others. */
record Fold(List<EventRecord> members) {
    /**
     * The first fold of each order, sorted by order id. An event that does not go on with its order's fold is in none.
     * Nor is what comes after it.
     */
    static List<Fold> of(List<EventRecord> events) {
        SortedMap<String, Fold> folds = new TreeMap<>();
        Set<String> ended = new HashSet<>();
        for (EventRecord next : events) {
            String orderId = next.event().orderId();
            Fold fold = folds.computeIfAbsent(orderId, absent -> new Fold(new ArrayList<>()));
            if (!ended.contains(orderId) && fold.goesOnWith(next.event())) {
                fold.members.add(next);
            } else {
                ended.add(orderId);
            }
        }
        return List.copyOf(folds.values());
    }

    /** The last revision of all wraps to one that no event has. */
    private boolean goesOnWith(Event event) {
        return members.isEmpty() || last().event().revision() + 1 == event.revision();
    }

    EventRecord last() {
        return members.get(members.size() - 1);
    }

    /** The status of its row once it is applied. */
    Status status() {
        Event event = last().event();
        return new Status(event.orderId(), event.revision());
    }
}
