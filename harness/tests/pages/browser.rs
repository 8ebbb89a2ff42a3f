//! A headless Chromium and one tab of it, over the DevTools protocol.
//!
//! <https://chromedevtools.github.io/devtools-protocol/> names every command and event used here.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// How long the browser may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Nothing of the user's, nothing fetched, nothing drawn on a screen.
const FLAGS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox", // tests may run as root, and only open our own files
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
];

/// The program's name on this machine, if it has one.
pub(crate) fn installed() -> Option<&'static str> {
    let paths = std::env::var_os("PATH")?;
    ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| std::env::split_paths(&paths).any(|bin| bin.join(name).is_file()))
}

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Its name in messages and of its picture.
    pub(crate) name: &'static str,
    /// `screen` or `print`.
    pub(crate) media: &'static str,
    /// Width in CSS pixels.
    pub(crate) width: u32,
    /// Whether the reader prefers dark.
    pub(crate) dark: bool,
    /// The font of the whole page, whatever it asks for; `None` for the reader's.
    pub(crate) font: Option<&'static str>,
}

/// What a page did that the reader does not see.
#[derive(Debug, Default)]
pub(crate) struct Noise {
    /// Errors and warnings of the console.
    pub(crate) console: Vec<String>,
    /// Addresses asked for.
    pub(crate) requests: Vec<String>,
}

/// The browser; ended when dropped, with its directory.
pub(crate) struct Browser {
    child: Child,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    last_id: u64,
    events: VecDeque<(String, Value)>,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts it with a profile of its own and opens a tab.
    pub(crate) fn start(program: &str) -> Result<Self, Failed> {
        let profile = tempfile::tempdir()?;
        let mut child = Command::new(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let socket = match listening(&mut child).and_then(|address| connect(&address)) {
            Ok(socket) => socket,
            Err(error) => {
                end(&mut child);
                return Err(error);
            }
        };
        let mut browser =
            Self { child, socket, session: None, last_id: 0, events: VecDeque::new(), _profile: profile };
        let tab = browser.call("Target.createTarget", &json!({"url": "about:blank"}))?;
        let target = &tab["targetId"];
        let attached =
            browser.call("Target.attachToTarget", &json!({"targetId": target, "flatten": true}))?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Opens an address as the view has it; returns once the page is loaded.
    pub(crate) fn open(&mut self, url: &str, view: View) -> Result<Noise, Failed> {
        self.call(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": view.width, "height": 900, "deviceScaleFactor": 1, "mobile": view.width < 500}),
        )?;
        let scheme = if view.dark { "dark" } else { "light" };
        self.call(
            "Emulation.setEmulatedMedia",
            &json!({"media": view.media, "features": [{"name": "prefers-color-scheme", "value": scheme}]}),
        )?;
        self.events.clear();
        self.call("Page.navigate", &json!({"url": url}))?;
        let mut noise = Noise::default();
        loop {
            let (event, said) = self.next_event()?;
            note(&mut noise, &event, &said);
            if event == "Page.loadEventFired" {
                break;
            }
        }
        if let Some(font) = view.font {
            let rule = format!("* {{ font-family: '{font}' !important }}");
            self.evaluate(&format!(
                "void document.head.append(Object.assign(document.createElement('style'), {{textContent: {rule:?}}}))"
            ))?;
        }
        // What was said about the page comes before the answer to a question asked after it.
        self.evaluate("document.fonts.ready.then(() => true)")?;
        for (event, said) in std::mem::take(&mut self.events) {
            note(&mut noise, &event, &said);
        }
        Ok(noise)
    }

    /// The value of an expression in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Result<Value, Failed> {
        let answer = self.call(
            "Runtime.evaluate",
            &json!({"expression": expression, "returnByValue": true, "awaitPromise": true}),
        )?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(format!("the page threw {thrown}").into()),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// The page from top to bottom in pictures of at most `height`, as PNG files in base64.
    pub(crate) fn pictures(&mut self, width: u32, height: u32) -> Result<Vec<String>, Failed> {
        let whole = self.evaluate("document.documentElement.scrollHeight")?.as_u64().unwrap_or(0);
        let mut pictures = Vec::new();
        let mut top = 0;
        while top < whole {
            let clip = json!({"x": 0, "y": top, "width": width, "height": u64::from(height).min(whole - top), "scale": 1});
            let asked = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
            let answer = self.call("Page.captureScreenshot", &asked)?;
            pictures.push(answer["data"].as_str().unwrap_or_default().to_owned());
            top += u64::from(height);
        }
        Ok(pictures)
    }

    fn call(&mut self, method: &str, params: &Value) -> Result<Value, Failed> {
        self.last_id += 1;
        let id = self.last_id;
        let mut command = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(command.to_string()))?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let answer = self.read()?;
            if answer["id"] == id {
                return match answer.get("error") {
                    Some(error) => Err(format!("{method}: {error}").into()),
                    None => Ok(answer["result"].clone()),
                };
            }
        }
        Err(format!("{method} was not answered in {PATIENCE:?}").into())
    }

    fn next_event(&mut self) -> Result<(String, Value), Failed> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            self.read()?;
        }
        Err(format!("the page was not loaded in {PATIENCE:?}").into())
    }

    /// The next message; events are kept.
    fn read(&mut self) -> Result<Value, Failed> {
        let message: Value = serde_json::from_str(self.socket.read()?.to_text()?)?;
        if let Some(method) = message["method"].as_str() {
            self.events.push_back((method.to_owned(), message["params"].clone()));
        }
        Ok(message)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to close it takes its helpers along, and ends by closing the socket; reads are bounded in time. The kill is
        // for one that does not hear.
        self.session = None;
        if self.call("Browser.close", &json!({})).is_ok() {
            while self.socket.read().is_ok() {}
        }
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    if child.kill().and_then(|()| child.wait()).is_err() {
        eprintln!("the browser with pid {} could not be ended", child.id());
    }
}

/// Where the browser listens, as it says on stderr; all else that it says there is read and dropped.
fn listening(child: &mut Child) -> Result<String, Failed> {
    let stderr = child.stderr.take().ok_or("stderr was not piped")?;
    let (found, address) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if let Some((_, url)) = line.split_once("DevTools listening on ") {
                // The receiver may have given up waiting.
                let _ = found.send(url.trim().to_owned());
            }
        }
    });
    address.recv_timeout(PATIENCE).map_err(|_| format!("Chromium did not listen in {PATIENCE:?}").into())
}

fn connect(url: &str) -> Result<WebSocket<TcpStream>, Failed> {
    let address = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (socket, _) = tungstenite::client(url, stream).map_err(|e| format!("the DevTools of {url}: {e}"))?;
    Ok(socket)
}

fn note(noise: &mut Noise, event: &str, said: &Value) {
    match event {
        "Runtime.consoleAPICalled"
            if matches!(said["type"].as_str(), Some("error" | "warning" | "assert")) =>
        {
            noise.console.push(said["args"].to_string());
        }
        "Runtime.exceptionThrown" => noise.console.push(said["exceptionDetails"].to_string()),
        "Log.entryAdded" => noise.console.push(said["entry"]["text"].to_string()),
        "Network.requestWillBeSent" => {
            noise.requests.push(said["request"]["url"].as_str().unwrap_or_default().to_owned());
        }
        _ => {}
    }
}
