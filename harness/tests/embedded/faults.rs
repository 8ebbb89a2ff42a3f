//! The failures that the embedded cluster can play, and what the pipeline makes of them.

use super::*;

const MESSAGES: usize = 2_000;

/// Produces through the pipeline's producer while `trouble` goes on; then the log holds everything, in order, and what was
/// sent twice only behind its first time.
async fn nothing_is_lost(cluster: &Cluster, admin: &Admin, trouble: impl AsyncFn(usize)) {
    let config = ProducerConfig { request_timeout: Duration::from_millis(500), ..ProducerConfig::default() };
    let producer = Producer::connect(&cluster.bootstrap(), TOPIC, 1, config).await.unwrap();
    let mut acks = Vec::new();
    for n in 0..MESSAGES {
        let (tell, ack) = oneshot::channel();
        producer.send(message("order", n), tell).await.unwrap();
        acks.push(ack);
        if n % 100 == 99 {
            trouble(n / 100).await;
            sleep(Duration::from_millis(5)).await;
        }
    }
    timeout(PATIENCE, producer.flush()).await.unwrap().unwrap();
    let end = admin.end_offsets(TOPIC).await.unwrap()[&0];
    let log = fetch::read_all(&cluster.bootstrap(), TOPIC, 0, 0, end, PATIENCE).await.unwrap();
    for (n, ack) in acks.into_iter().enumerate() {
        let offset = ack.await.unwrap().unwrap().origin.offset;
        assert_eq!(numbers(&log[offset as usize..=offset as usize]), [n], "the ack names its place");
    }
    let mut seen = BTreeSet::new();
    let first_times: Vec<_> = numbers(&log).into_iter().filter(|n| seen.insert(*n)).collect();
    assert_eq!(first_times, (0..MESSAGES).collect::<Vec<_>>(), "everything, in order");
}

#[tokio::test]
async fn dropped_connections_lose_and_reorder_nothing() {
    let (cluster, admin) = cluster(1).await;
    admin.create_topic(TOPIC, 1, 1, &[]).await.unwrap();
    nothing_is_lost(&cluster, &admin, async |_| cluster.drop_connections(1)).await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_leader_that_moves_loses_and_reorders_nothing() {
    let (cluster, admin) = cluster(3).await;
    admin.create_topic(TOPIC, 1, 3, &[]).await.unwrap();
    let begin = admin.describe_topic(TOPIC).await.unwrap()[0].leader.unwrap();
    let to = |turn: usize| (begin + turn as i32) % 3 + 1;
    nothing_is_lost(&cluster, &admin, async |turn| {
        cluster.move_leader(TOPIC, 0, to(turn)).unwrap();
        assert_eq!(admin.describe_topic(TOPIC).await.unwrap()[0].leader, Some(to(turn)));
    })
    .await;
    assert!(cluster.move_leader(TOPIC, 1, 1).is_err() && cluster.move_leader(TOPIC, 0, 4).is_err());
    cluster.stop().await;
}

#[tokio::test]
async fn answers_that_come_too_late_lose_and_reorder_nothing() {
    let (cluster, admin) = cluster(1).await;
    admin.create_topic(TOPIC, 1, 1, &[]).await.unwrap();
    // Longer than the producer waits: what it sends is taken, and sent again.
    nothing_is_lost(&cluster, &admin, async |turn| {
        cluster.delay(1, if turn == 5 { Duration::from_secs(60) } else { Duration::ZERO });
        if turn == 5 {
            sleep(Duration::from_millis(700)).await;
        }
    })
    .await;
    let end = admin.end_offsets(TOPIC).await.unwrap()[&0];
    assert!(end > MESSAGES as i64, "something was sent twice: {end}");
    cluster.stop().await;
}

#[tokio::test]
async fn a_delay_holds_answers_back_until_it_ends() {
    let (cluster, admin) = cluster(1).await;
    admin.create_topic(TOPIC, 1, 1, &[]).await.unwrap();
    let client = partition(&cluster, 0).await;
    cluster.delay(1, Duration::from_millis(100));
    let begin = Instant::now();
    client.get_offset(OffsetAt::Latest).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(100));
    cluster.delay(1, Duration::from_secs(60));
    let (answered, ()) = tokio::join!(timeout(PATIENCE, client.get_offset(OffsetAt::Latest)), async {
        sleep(Duration::from_millis(50)).await;
        cluster.delay(1, Duration::ZERO);
    });
    assert_eq!(answered.expect("an ended delay frees what it held").unwrap(), 0);
    cluster.stop().await;
}

#[tokio::test]
async fn a_stopped_node_hands_its_partitions_and_groups_over() {
    let (cluster, admin) = cluster(3).await;
    admin.create_topic(TOPIC, 1, 3, &[("min.insync.replicas", "2")]).await.unwrap();
    let consumer = Consumer::start(&cluster, "one");
    let generation = settled(&[&consumer], 1).await[0].generation;
    nothing_is_lost(&cluster, &admin, async |turn| match turn {
        3 | 9 | 15 => cluster.stop_node(turn as i32 / 6 + 1).await.unwrap(),
        6 | 12 | 18 => cluster.start_node(turn as i32 / 6).await.unwrap(),
        _ => {}
    })
    .await;
    // Each node was away once, so the group's coordinator was: its member is still, or again, in the group.
    settled(&[&consumer], 1).await;
    assert_eq!(admin.group_members(GROUP).await.unwrap().members.len(), 1);
    assert!(consumer.assigned.borrow().as_ref().unwrap().generation >= generation);

    let leader = || async { admin.describe_topic(TOPIC).await.unwrap()[0].clone() };
    until("every replica in sync", async || leader().await.isr.len() == 3).await;
    let two: Vec<i32> = (1..=3).filter(|id| *id != 3).collect();
    for node in &two {
        cluster.stop_node(*node).await.unwrap();
    }
    let left = leader().await;
    assert_eq!((left.leader, left.isr.as_slice()), (Some(3), [3].as_slice()));
    let once = rskafka::BackoffConfig { deadline: Some(Duration::ZERO), ..Default::default() };
    let client = ClientBuilder::new(cluster.bootstrap()).backoff_config(once).build().await.unwrap();
    let client = client.partition_client(TOPIC, 0, UnknownTopicHandling::Error).await.unwrap();
    let refused = client.produce(vec![record(0)], Compression::NoCompression).await.unwrap_err();
    assert!(refused.to_string().contains("NotEnoughReplicas"), "{refused}");
    for node in &two {
        cluster.start_node(*node).await.unwrap();
    }
    client.produce(vec![record(0)], Compression::NoCompression).await.unwrap();
    consumer.leave().await;
    cluster.stop().await;
}

#[tokio::test]
async fn a_stopped_cluster_answers_nobody() {
    let (stopped, _) = cluster(3).await;
    let addresses = stopped.bootstrap();
    stopped.stop().await;
    let (dropped, _) = cluster(1).await;
    let addresses = [addresses, dropped.bootstrap()].concat();
    drop(dropped);
    for address in addresses {
        until("the port is closed", async || tokio::net::TcpStream::connect(&address).await.is_err()).await;
    }
    assert!(Cluster::start(ClusterOptions { nodes: 2, ..ClusterOptions::default() }).await.is_err());
}
