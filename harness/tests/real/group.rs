//! The group is a real one: a Java consumer shares it and hands its partitions back.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use payment_delivery::consumer::{ConsumerConfig, Mode};
use payment_delivery::kafka::group::GroupConfig;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::Case;
use crate::bed::{Bed, Diary, check, evidence, in_mode, until};
use crate::tools::{kafka_tool, signal};

pub(crate) const CASES: &[Case] = &[
    ("a Java consumer shares the group and hands back what it has committed", java_shares_the_group),
    ("a killed consumer's partitions are taken over after its session", |bed| {
        killed_consumer_is_replaced(bed, Mode::Record)
    }),
    ("a killed consumer's partitions are taken over in batch mode", |bed| {
        killed_consumer_is_replaced(bed, Mode::Batch)
    }),
];

fn java_shares_the_group(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(3).await?;
        let probe = Arc::new(Diary::default());
        // The default session: Java's part in a rebalance takes its time on a busy machine.
        let ours = |name: &'static str| {
            let mut config = field.config(name);
            config.group = GroupConfig::new(&field.group, name);
            config
        };
        let one = field.consumer(ours("one"), field.parts(probe.clone()).await?);
        let two = field.consumer(ours("two"), field.parts(probe.clone()).await?);
        let before = field.produce(60, 1..=1).await?;
        field.worked_off(Duration::from_secs(30)).await?;

        let bootstrap = bed.endpoints().bootstrap.join(",");
        let mut java = kafka_tool(
            "org.apache.kafka.tools.consumer.ConsoleConsumer",
            &[
                "--bootstrap-server", &bootstrap, "--topic", &field.topic, "--group", &field.group,
                "--consumer-property", "partition.assignment.strategy=org.apache.kafka.clients.consumer.RangeAssignor",
                "--consumer-property", "group.protocol=classic", "--consumer-property", "client.id=java",
                "--property", "print.partition=true", "--property", "print.offset=true", "--property", "print.value=false",
            ],
        )?
        .stdout(Stdio::piped())
        .spawn()?;
        let mut shared = BTreeMap::new();
        until(Duration::from_secs(60), "three members never shared the partitions", async || {
            let group = field.admin.group_members(&field.group).await?;
            shared = group
                .members
                .iter()
                .filter_map(|m| Some((m.client_id.clone(), m.partitions.get(&field.topic)?.clone())))
                .collect();
            Ok(group.state == "Stable" && shared.len() == 3 && shared.values().all(|p| p.len() == 1))
        })
        .await?;
        let java_owns = shared.get("java").and_then(|p| p.first()).copied().ok_or("java owns nothing")?;

        let during = field.produce(60, 2..=2).await?;
        let expected: BTreeSet<i64> =
            during.values().filter(|o| o.partition == java_owns).map(|o| o.offset).collect();
        let mut lines = BufReader::new(java.stdout.take().ok_or("no stdout")?).lines();
        let mut seen = BTreeSet::new();
        while seen.len() < expected.len() {
            let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await??;
            let line = line.ok_or("the Java consumer ended early")?;
            seen.extend(line.split(['\t', ' ']).find_map(|word| word.strip_prefix("Offset:")?.parse::<i64>().ok()));
        }
        check(seen == expected, format!("java read {seen:?}, not {expected:?}"))?;
        signal(&java, Signal::SIGTERM)?; // it commits and leaves
        java.wait().await?;

        let after = field.produce(60, 3..=3).await?;
        field.worked_off(Duration::from_secs(30)).await?;
        one.stop().await?;
        two.stop().await?;
        check(probe.repeats().is_empty(), format!("delivered twice: {:?}", probe.repeats()))?;
        let ours: BTreeSet<_> = probe.fetched.lock().expect("no panic").iter().map(|(_, origin)| *origin).collect();
        let theirs: BTreeSet<_> = during.values().filter(|o| o.partition == java_owns).copied().collect();
        let all: BTreeSet<_> = before.values().chain(during.values()).chain(after.values()).copied().collect();
        check(ours.is_disjoint(&theirs), "ours went back behind the Java consumer's commits")?;
        check(ours.union(&theirs).copied().collect::<BTreeSet<_>>() == all, "an offset was read by nobody")?;
        evidence(
            "java-shares-the-group",
            &json!({"members": shared, "read_by_java": theirs.len(), "read_by_ours": ours.len(), "produced": all.len(),
                "read_twice": 0, "read_by_nobody": 0}),
        )
    })
}

fn killed_consumer_is_replaced(bed: &Bed, mode: Mode) -> Result<(), Failed> {
    bed.run(async {
        let field = bed.field(3).await?;
        let probe = Arc::new(Diary::default());
        let config = |name| ConsumerConfig { mode, ..field.config(name) };
        let doomed = field.consumer(config("doomed"), field.parts(probe.clone()).await?);
        let heir = field.consumer(config("heir"), field.parts(probe.clone()).await?);
        until(Duration::from_secs(20), "they never shared the partitions", async || {
            let owned = probe.owned.lock().expect("no panic");
            Ok(owned.len() == 2 && owned.values().map(Vec::len).sum::<usize>() == 3)
        })
        .await?;
        doomed.kill().await;
        let died = std::time::Instant::now();
        let acked = field.produce(300, 1..=2).await?;
        field.worked_off(Duration::from_secs(30)).await?;
        let took = died.elapsed();
        heir.stop().await?;
        let store = field.parts(probe.clone()).await?.store;
        let rows = store.deliveries().await?;
        let whole = rows.len() == 300 && rows.iter().all(|row| row.revision == 2 && row.applied == 2);
        check(whole, "every order should be at revision 2")?;
        evidence(
            &in_mode("killed-consumer", mode),
            &json!({"session_timeout_s": 1.5, "events": acked.len(), "all_committed_after_s": took.as_secs_f64(), "lost": 0}),
        )
    })
}
