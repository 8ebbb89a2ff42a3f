//! A broker that has access rules and heeds them, for the tests of rights: everybody on its plaintext listener is
//! ANONYMOUS and may do nothing; what makes the rules comes by another listener, as a super user.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use libtest_mimic::Failed;
use payment_delivery::kafka::admin::Admin;
use tokio::process::Child;

use crate::bed::check;
use crate::tools::{kafka_tool, shown};

/// The one super user: the broker itself, and who makes rules.
const LOGIN: &str =
    "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"root\" password=\"root\"";

pub(super) struct StrictBroker {
    pub(super) bootstrap: String,
    administration: String,
    directory: tempfile::TempDir,
    process: Child,
}

impl StrictBroker {
    /// One node, up.
    pub(super) async fn start() -> Result<Self, Failed> {
        let directory = tempfile::tempdir()?;
        let ports: Vec<TcpListener> =
            (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        let at = |port: usize| ports[port].local_addr().map(|address| address.to_string());
        let (bootstrap, administration, controller) = (at(0)?, at(1)?, at(2)?);
        let properties = format!(
            "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@{controller}\n\
             listeners=PLAINTEXT://{bootstrap},ROOT://{administration},CONTROLLER://{controller}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,ROOT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT\n\
             controller.listener.names=CONTROLLER\ninter.broker.listener.name=ROOT\n\
             sasl.mechanism.inter.broker.protocol=PLAIN\nsasl.mechanism.controller.protocol=PLAIN\n\
             sasl.enabled.mechanisms=PLAIN\n\
             listener.name.root.plain.sasl.jaas.config={LOGIN} user_root=\"root\";\n\
             listener.name.controller.plain.sasl.jaas.config={LOGIN} user_root=\"root\";\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
             allow.everyone.if.no.acl.found=false\nsuper.users=User:root\n\
             auto.create.topics.enable=false\ngroup.initial.rebalance.delay.ms=0\n\
             group.min.session.timeout.ms=1000\noffsets.topic.num.partitions=3\n\
             offsets.topic.replication.factor=1\nlog.cleaner.dedupe.buffer.size=8388608\nlog.dirs={}\n",
            directory.path().join("data").display()
        );
        let file = |name: &str| directory.path().join(name);
        std::fs::write(file("server.properties"), properties)?;
        std::fs::write(
            file("root.properties"),
            format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={LOGIN};\n"),
        )?;
        let settings = file("server.properties").display().to_string();
        let format = ["format", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAA", "--config", &settings];
        let formatted =
            kafka_tool("kafka.tools.StorageTool", &format)?.stderr(Stdio::piped()).output().await?;
        check(formatted.status.success(), shown(&formatted))?;
        drop(ports);
        let log = std::fs::File::create(file("log"))?;
        let mut server = kafka_tool("kafka.Kafka", &[&settings])?;
        server.env("_JAVA_OPTIONS", "-Xmx256m").stdout(log.try_clone()?).stderr(log);
        let process = server.spawn()?;
        let up = Admin::connect(std::slice::from_ref(&bootstrap), Duration::from_secs(60)).await;
        if let Err(error) = up {
            let log = std::fs::read_to_string(file("log")).unwrap_or_default();
            return Err(format!("{error}; its log:\n{log}").into());
        }
        Ok(Self { bootstrap, administration, directory, process })
    }

    /// Runs a line of `kafka-acls.sh` as an operator would, but for the address and the principal.
    pub(super) async fn rule(&self, line: &str) -> Result<(), Failed> {
        let line = line.replace("HOST:PORT", &self.administration).replace("User:bench", "User:ANONYMOUS");
        let mut words: Vec<&str> = line.split_whitespace().collect();
        check(words.first() == Some(&"kafka-acls.sh"), &line)?;
        let settings: PathBuf = self.directory.path().join("root.properties");
        let settings = settings.display().to_string();
        words.splice(0..1, ["--command-config", &settings]);
        let made =
            kafka_tool("org.apache.kafka.tools.AclCommand", &words)?.stderr(Stdio::piped()).output().await?;
        // It tells of an error and exits with 0 all the same, in some versions.
        let well = made.status.success() && String::from_utf8_lossy(&made.stdout).contains("ALLOW");
        check(well, format!("{line}: {}", shown(&made)))
    }

    pub(super) async fn stop(mut self) -> Result<(), Failed> {
        Ok(self.process.kill().await?)
    }
}
