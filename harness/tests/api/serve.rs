//! `lanebench serve` as a user runs it, on the embedded stack.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::bed::{PATIENCE, payment};

const TOKEN: &str = "a-secret-of-the-tests-0123";

fn serve(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lanebench"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LANEBENCH_")) {
        command.env_remove(name);
    }
    command.arg("serve").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true);
    command
}

async fn ran(mut command: Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Waits until it serves; its address, and what it said.
async fn address(child: &mut Child) -> (String, String, BufReader<tokio::process::ChildStderr>) {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut told = String::new();
    loop {
        let begin = told.len();
        assert!(
            timeout(PATIENCE, lines.read_line(&mut told)).await.unwrap().unwrap() > 0,
            "it ended: {told}"
        );
        if let Some(url) = told[begin..].split_once("all of it: http://") {
            let address = url.1.split('/').next().unwrap().to_owned();
            return (address, told, lines);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_serves_until_it_is_told_to_stop() {
    let mut command = serve(&["--listen", "127.0.0.1:0"]);
    command.env("LANEBENCH_API_TOKEN", TOKEN).env("LANEBENCH_LOG", "debug");
    let mut child = command.spawn().unwrap();
    let (address, mut told, mut lines) = address(&mut child).await;
    assert!(told.contains("DEMONSTRATION") && told.contains("curl -i"), "{told}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{address}");
    let post = client.post(format!("{url}/payments")).bearer_auth(TOKEN).json(&payment("o", 1));
    assert_eq!(post.send().await.unwrap().status(), 202);
    let get = || client.get(format!("{url}/deliveries/o")).bearer_auth(TOKEN).send();
    let mut asked = 0;
    while get().await.unwrap().status() != 200 {
        asked += 1;
        assert!(asked < 200, "it is not delivered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Who joins the group after the first delivery has the partitions dealt out anew, and for that moment nobody works on them.
    let mut asked = 0;
    let said = loop {
        let (code, _, said) = ran(serve(&["--check", "--listen", &address])).await;
        if code == Some(0) {
            break said;
        }
        asked += 1;
        assert!(asked < 200 && code == Some(1) && said.starts_with("not ready: "), "{code:?}: {said}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(said.trim(), "ready");

    // A second one at the same place.
    let (code, out, said) = ran(serve(&["--listen", &address])).await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{said}");
    assert!(
        said.contains("can't listen on") && said.contains("hint:") && said.contains("--listen"),
        "{said}"
    );

    kill(Pid::from_raw(child.id().unwrap() as i32), Signal::SIGTERM).unwrap();
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    lines.read_to_string(&mut told).await.unwrap();
    assert_eq!(status.code(), Some(0), "{told}");
    assert!(!told.contains(TOKEN), "the secret is in its output");
    let (code, ..) = ran(serve(&["--check", "--listen", &address])).await;
    assert_eq!(code, Some(1), "nobody is there any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_interrupt_ends_it_at_once() {
    let mut child = serve(&["--listen", "127.0.0.1:0", "--consumers", "1"]).spawn().unwrap();
    let (address, mut told, mut lines) = address(&mut child).await;
    // A request whose body does not come, for which the first interrupt waits.
    let mut held = tokio::net::TcpStream::connect(&address).await.unwrap();
    let head =
        "POST /payments HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{";
    held.write_all(head.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let interrupt = |child: &Child| kill(Pid::from_raw(child.id().unwrap() as i32), Signal::SIGINT).unwrap();
    interrupt(&child);
    assert!(timeout(Duration::from_secs(1), child.wait()).await.is_err(), "it did not wait");
    interrupt(&child);
    let status = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    lines.read_to_string(&mut told).await.unwrap();
    assert_eq!(status.code(), Some(130), "{told}");
    assert!(told.contains("interrupted again"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_needs_is_said_before_anything_is_started() {
    let (code, _, said) = ran(serve(&["--listen", "0.0.0.0:0"])).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("there is no token") && said.contains("--no-auth"), "{said}");
    let mut command = serve(&[]);
    command.env("LANEBENCH_API_TOKEN", "short-secret");
    let (code, _, said) = ran(command).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("at least 16 characters") && !said.contains("short-secret"), "{said}");
    let (code, _, said) = ran(serve(&["--token-file", "/nowhere/token"])).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("/nowhere/token"), "{said}");
    let (code, _, said) = ran(serve(&["--stack", "external"])).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("LANEBENCH_BOOTSTRAP"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_committed_descriptions_are_what_it_prints() {
    for (description, file) in [("openapi", "openapi.json"), ("postman", "postman_collection.json")] {
        let (code, printed, _) = ran(serve(&["--print", description])).await;
        assert_eq!(code, Some(0));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api").join(file);
        let committed = std::fs::read_to_string(&path).unwrap();
        assert!(
            committed == printed,
            "docs/api/{file} is not what `lanebench serve --print {description}` prints; print it anew"
        );
        serde_json::from_str::<Value>(&printed).unwrap();
    }
}
