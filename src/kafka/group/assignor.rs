//! The range assignor, pure: partitions to members exactly as Kafka's `RangeAssignor` 4.1 without racks.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// The assignor's name in the group protocol.
pub const NAME: &str = "range";

/// Partitions by topic.
pub type Partitions = BTreeMap<String, Vec<i32>>;

/// A member and what it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// The id the coordinator gave it.
    pub member_id: String,
    /// Its own lasting id, if it has one (`group.instance.id`).
    pub instance_id: Option<String>,
    /// The topics it subscribes to.
    pub topics: Vec<String>,
}

impl Subscriber {
    /// Kafka's order: members with an instance id first, by it; then the others, by member id.
    ///
    /// An instance id outlives a restart and a member id does not, so this keeps partitions where they were.
    fn rank(&self, other: &Self) -> Ordering {
        match (&self.instance_id, &other.instance_id) {
            (Some(a), Some(b)) => java_order(a, b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => java_order(&self.member_id, &other.member_id),
        }
    }
}

/// Java compares strings by UTF-16 unit; Rust's order differs beyond U+FFFF.
fn java_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// Assigns every partition of every known topic to one of its subscribers: per topic, consecutive partitions in the
/// order of the members, the first ones getting one more where the numbers don't divide.
///
/// `counts` is the number of partitions by topic; a topic without an entry is not assigned. Every member has an entry
/// in the result, if only an empty one.
pub fn range(members: &[Subscriber], counts: &BTreeMap<String, i32>) -> BTreeMap<String, Partitions> {
    let mut assignment: BTreeMap<String, Partitions> =
        members.iter().map(|m| (m.member_id.clone(), Partitions::new())).collect();
    for (topic, &count) in counts {
        let mut subscribers: Vec<_> = members.iter().filter(|m| m.topics.contains(topic)).collect();
        subscribers.sort_by(|a, b| a.rank(b));
        let (Ok(members), Ok(count)) = (i32::try_from(subscribers.len()), u32::try_from(count)) else {
            continue;
        };
        let count = count.cast_signed();
        if members == 0 {
            continue;
        }
        let (each, extra) = (count / members, count % members);
        let mut next = 0;
        for (i, subscriber) in (0..).zip(subscribers) {
            let end = next + each + i32::from(i < extra);
            if next < end
                && let Some(partitions) = assignment.get_mut(&subscriber.member_id)
            {
                partitions.insert(topic.clone(), (next..end).collect());
            }
            next = end;
        }
    }
    assignment
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Made by ci/fixtures/range, which runs Kafka's own assignor.
    const FIXTURE: &str = include_str!("fixtures/range.csv");

    /// `member[@instance]:topic+topic` items, apart by spaces.
    fn members(field: &str) -> Vec<Subscriber> {
        let member = |item: &str| {
            let (who, topics) = item.split_once(':').unwrap();
            let (member_id, instance_id) =
                who.split_once('@').map_or((who, None), |(id, instance)| (id, Some(instance.to_owned())));
            let topics = topics.split('+').filter(|t| !t.is_empty()).map(str::to_owned).collect();
            Subscriber { member_id: member_id.to_owned(), instance_id, topics }
        };
        field.split(' ').map(member).collect()
    }

    /// `topic=count` items.
    fn counts(field: &str) -> BTreeMap<String, i32> {
        let count = |item: &str| {
            let (topic, count) = item.split_once('=').unwrap();
            (topic.to_owned(), count.parse().unwrap())
        };
        field.split(' ').filter(|f| !f.is_empty()).map(count).collect()
    }

    /// `member:topic-partition+topic-partition` items, sorted, as the fixture writes them.
    fn written(assignment: &BTreeMap<String, Partitions>) -> String {
        let member = |(id, partitions): (&String, &Partitions)| {
            let items = partitions.iter().flat_map(|(t, ps)| ps.iter().map(move |p| format!("{t}-{p}")));
            format!("{id}:{}", items.collect::<Vec<_>>().join("+"))
        };
        assignment.iter().map(member).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn agrees_with_kafkas_range_assignor() {
        let mut cases = 0;
        for line in FIXTURE.lines().skip(1) {
            let fields: Vec<_> = line.split(',').collect();
            let [case, group, topics, expected] = fields[..] else { panic!("four fields in {line}") };
            assert_eq!(written(&range(&members(group), &counts(topics))), expected, "case {case}: {line}");
            cases += 1;
        }
        assert!(cases >= 200, "only {cases} cases");
    }

    #[test]
    fn strings_are_ordered_as_java_orders_them() {
        // U+FF5E is one unit, U+1F600 two that start with 0xD83D: Rust says less, Java greater.
        assert!("\u{ff5e}" < "\u{1f600}");
        assert_eq!(java_order("\u{ff5e}", "\u{1f600}"), Ordering::Greater);
    }

    prop_compose! {
        fn a_group()(
            subscriptions in proptest::collection::vec((any::<bool>(), 0_u8..8), 1..8),
            counts in proptest::collection::vec(0..13_i32, 3),
        ) -> (Vec<Subscriber>, BTreeMap<String, i32>) {
            let topic = |t: usize| format!("t{t}");
            let members = subscriptions.iter().enumerate().map(|(i, (named, mask))| Subscriber {
                member_id: format!("m{i}"),
                instance_id: named.then(|| format!("i{}", 9 - i)),
                topics: (0..3).filter(|t| mask >> t & 1 == 1).map(topic).collect(),
            });
            (members.collect(), counts.iter().enumerate().map(|(t, n)| (topic(t), *n)).collect())
        }
    }

    proptest! {
        #[test]
        fn every_partition_goes_to_one_subscriber_and_shares_are_even((members, counts) in a_group()) {
            let assignment = range(&members, &counts);
            prop_assert_eq!(assignment.len(), members.len());
            for (topic, count) in &counts {
                let subscribers: Vec<_> = members.iter().filter(|m| m.topics.contains(topic)).collect();
                let share = |m: &Subscriber| assignment[&m.member_id].get(topic).cloned().unwrap_or_default();
                let given: Vec<i32> = members.iter().flat_map(share).collect();
                let distinct: BTreeSet<i32> = given.iter().copied().collect();
                prop_assert_eq!(given.len(), distinct.len(), "a partition was given twice");
                let expected = if subscribers.is_empty() { 0 } else { *count };
                prop_assert!(distinct.into_iter().eq(0..expected));
                let shares: Vec<_> = subscribers.iter().map(|m| share(m).len()).collect();
                let (least, most) = (shares.iter().min(), shares.iter().max());
                prop_assert!(most.zip(least).is_none_or(|(most, least)| most - least <= 1));
                for stranger in members.iter().filter(|m| !m.topics.contains(topic)) {
                    prop_assert!(share(stranger).is_empty());
                }
            }
        }
    }
}
