//! Programs that others wrote: kcat (librdkafka) and Kafka's own tools.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use libtest_mimic::Failed;
use payment_delivery::kafka::fetch::read_all;
use payment_delivery::kafka::group::{GroupConfig, Member};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use crate::batch::{batch_of, stored};
use crate::bed::{Bed, Case, SOON, same};
use crate::common::{check, describe_group, kafka_tool, until};
use crate::subject::Need;
use crate::wire::Appetite;

pub(crate) const CASES: &[Case] = &[
    Case::new("kcat -P produces, in every compression", kcat_produces).needs(Need::Kcat),
    Case::new("kcat -C consumes", kcat_consumes).needs(Need::Kcat),
    Case::new("kcat -G shares a group with the pipeline's member", kcat_shares).needs(Need::Kcat),
    Case::new("Kafka's own producer produces, idempotent as it is by default", java_produces)
        .needs(Need::Kafka),
    Case::new("kafka-consumer-groups describes a group", described).needs(Need::Kafka),
];

/// For a program to start, do its part and end.
const PROGRAM: Duration = Duration::from_secs(20);

fn kcat(bed: &Bed, arguments: &[&str]) -> Command {
    let mut command = Command::new("kcat");
    command.args(["-q", "-b", &bed.bootstrap.join(",")]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Its standard output, once it has ended well.
async fn output(child: Child) -> Result<String, Failed> {
    let output =
        tokio::time::timeout(PROGRAM, child.wait_with_output()).await.map_err(|_| "it goes on and on")??;
    check(
        output.status.success(),
        format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)),
    )?;
    Ok(String::from_utf8(output.stdout)?)
}

fn kcat_produces(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let mut due = Vec::new();
        for (name, codec) in [("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4), ("none", 0)] {
            let mut child =
                kcat(bed, &["-P", "-t", &topic, "-p", "0", "-K", ":", "-z", name, "-H", "sent=kcat"]);
            let mut child = child.stdin(Stdio::piped()).spawn()?;
            let mut stdin = child.stdin.take().ok_or("no stdin")?;
            // Alike enough that it pays to compress them: librdkafka leaves the batch as it is otherwise.
            for i in 0..20 {
                stdin.write_all(format!("key-{i}:{name} {}\n", "payment ".repeat(20)).as_bytes()).await?;
            }
            drop(stdin);
            output(child).await?;
            due.extend([codec; 20]);
        }
        let mut wire = bed.leader(&topic, 0).await?;
        let answer = wire.fetch(&topic, 0, 0, Appetite::default()).await?;
        let mut found = Vec::new();
        for batch in stored(answer.records.as_ref())? {
            found.extend((batch.base_offset..=batch.last_offset).map(|_| batch.codec));
        }
        same(&found, &due, "codec of each record")?;
        let read = read_all(&bed.bootstrap, &topic, 0, 80, 100, SOON).await?;
        // Only the last twenty can be read without a codec.
        let message = &read[3].message;
        same(&message.key.as_deref(), &Some(&b"key-3"[..]), "key")?;
        check(message.value.as_ref().is_some_and(|v| v.starts_with(b"none payment ")), "value")?;
        same(&message.headers, &BTreeMap::from([("sent".to_owned(), b"kcat".to_vec())]).into(), "headers")
    })
}

fn kcat_consumes(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(2).await?;
        let mut due = BTreeSet::new();
        for partition in 0..2 {
            let mut wire = bed.leader(&topic, partition).await?;
            for batch in 0..3 {
                let values: Vec<String> = (0..10).map(|i| format!("{}", batch * 10 + i)).collect();
                let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
                wire.produce(&topic, partition, &batch_of(&values, 1_000)).await?;
            }
            due.extend((0..30).map(|i| format!("{partition} {i} {i}")));
        }
        let format = "%p %o %s\n";
        let read =
            output(kcat(bed, &["-C", "-t", &topic, "-o", "beginning", "-e", "-f", format]).spawn()?).await?;
        let lines: Vec<_> = read.lines().map(str::to_owned).collect();
        same(&lines.len(), &due.len(), "lines")?;
        same(&lines.into_iter().collect(), &due, "what it read")?;
        // From the middle of a batch, and from the end backwards.
        for (from, first) in [("15", 15), ("-4", 26)] {
            let read =
                output(kcat(bed, &["-C", "-t", &topic, "-p", "1", "-o", from, "-e", "-f", format]).spawn()?)
                    .await?;
            let due: Vec<_> = (first..30).map(|i| format!("1 {i} {i}")).collect();
            same(&read.lines().map(str::to_owned).collect(), &due, &format!("what it read from {from}"))?;
        }
        Ok(())
    })
}

fn kcat_shares(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (topic, group) = (bed.topic(2).await?, bed.name("group"));
        for partition in 0..2 {
            bed.leader(&topic, partition)
                .await?
                .produce(&topic, partition, &batch_of(&[b"a", b"b", b"c"], 1))
                .await?;
        }
        let mut config = GroupConfig::new(&group, "ours");
        config.heartbeat_interval = Duration::from_millis(200);
        let mut ours = Member::new(bed.bootstrap.clone(), topic.clone(), config);
        same(&ours.join().await?.partitions, &vec![0, 1], "ours, alone")?;
        let mut theirs = kcat(
            bed,
            &[
                "-u",
                "-f",
                "%p %o %s\n",
                "-X",
                "auto.offset.reset=earliest",
                "-X",
                "client.id=theirs",
                "-X",
                "heartbeat.interval.ms=200",
                "-X",
                "partition.assignment.strategy=range",
                "-G",
                &group,
                &topic,
            ],
        )
        .spawn()?;
        tokio::time::timeout(PROGRAM, ours.changed()).await.map_err(|_| "kcat never joined")?;
        let shared = ours.join().await?.partitions;
        same(&shared.len(), &1, "our share")?;
        let owned_by_kcat = 1 - shared[0];
        let mut lines = BufReader::new(theirs.stdout.take().ok_or("no stdout")?).lines();
        for due in ["0 a", "1 b", "2 c"] {
            let line =
                tokio::time::timeout(PROGRAM, lines.next_line()).await.map_err(|_| "kcat read nothing")??;
            same(&line, &Some(format!("{owned_by_kcat} {due}")), "what it read")?;
        }
        let admin = bed.admin().await?;
        let seen = admin.group_members(&group).await?;
        let clients: BTreeSet<_> = seen.members.iter().map(|m| m.client_id.as_str()).collect();
        same(&clients, &BTreeSet::from(["ours", "theirs"]), "members")?;
        let pid = i32::try_from(theirs.id().ok_or("kcat has ended")?)?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)?;
        tokio::time::timeout(PROGRAM, theirs.wait()).await.map_err(|_| "kcat did not end")??;
        // It commits and leaves.
        tokio::time::timeout(PROGRAM, ours.changed()).await.map_err(|_| "kcat did not leave")?;
        same(&ours.join().await?.partitions, &vec![0, 1], "ours, alone again")?;
        until(SOON, "kcat committed nothing", async || {
            Ok(admin.group_offsets(&group, &topic).await?.get(&owned_by_kcat) == Some(&3))
        })
        .await?;
        ours.leave().await;
        Ok(())
    })
}

fn java_produces(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let topic = bed.topic(1).await?;
        let bootstrap = bed.bootstrap.join(",");
        let arguments = ["--bootstrap-server", &bootstrap, "--topic", &topic];
        let mut java = kafka_tool("org.apache.kafka.tools.ConsoleProducer", &arguments)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdin = java.stdin.take().ok_or("no stdin")?;
        stdin.write_all(b"one\ntwo\nthree\n").await?;
        drop(stdin);
        output(java).await?;
        let read = read_all(&bed.bootstrap, &topic, 0, 0, 3, SOON).await?;
        let values: Vec<_> =
            read.into_iter().filter_map(|f| String::from_utf8(f.message.value?).ok()).collect();
        same(&values, &["one", "two", "three"].map(str::to_owned).to_vec(), "what it sent")
    })
}

fn described(bed: &Bed) -> Result<(), Failed> {
    bed.run(async {
        let (topic, group) = (bed.topic(2).await?, bed.name("group"));
        bed.leader(&topic, 1).await?.produce(&topic, 1, &batch_of(&[b"a", b"b", b"c", b"d"], 1)).await?;
        let mut member =
            Member::new(bed.bootstrap.clone(), topic.clone(), GroupConfig::new(&group, "worker-7"));
        member.join().await?;
        member.offsets().commit(&[(0, 0), (1, 3)].into()).await?;
        let rows = describe_group(&bed.bootstrap, &group).await?;
        let header = rows.first().ok_or("it printed nothing")?;
        let column =
            |name: &str| header.iter().position(|h| h == name).ok_or_else(|| format!("no column {name}"));
        let columns = ["TOPIC", "PARTITION", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG", "CLIENT-ID"];
        let columns: Vec<usize> = columns.into_iter().map(column).collect::<Result<_, _>>()?;
        let mut shown: Vec<Vec<&str>> =
            rows[1..].iter().map(|row| columns.iter().map(|c| row[*c].as_str()).collect()).collect();
        shown.sort_unstable();
        let due = vec![
            vec![topic.as_str(), "0", "0", "0", "0", "worker-7"],
            vec![topic.as_str(), "1", "3", "4", "1", "worker-7"],
        ];
        same(&shown, &due, "what it shows")?;
        member.leave().await;
        Ok(())
    })
}
