//! A collector of traces: what is sent to it by OTLP, kept in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A span that ended.
#[derive(Clone, Debug)]
pub struct Span {
    pub name: String,
    pub trace: String,
    pub id: String,
    /// Empty at the root.
    pub parent: String,
    attributes: BTreeMap<String, String>,
}

impl Span {
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).unwrap_or_else(|| panic!("{} has no {key}: {self:?}", self.name))
    }

    pub fn has(&self, key: &str, value: &str) -> bool {
        self.attributes.get(key).is_some_and(|has| has == value)
    }
}

/// A server on the loopback that takes `POST`s of spans.
pub struct Collector {
    address: std::net::SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spans);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&kept)));
            }
        });
        Self { address, spans }
    }

    pub fn url(&self) -> String {
        format!("http://{}/v1/traces", self.address)
    }

    /// All spans, once `enough` of them are there.
    pub async fn until(&self, patience: Duration, enough: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        let end = Instant::now() + patience;
        loop {
            let spans = self.spans.lock().expect("no test failed here").clone();
            if enough(&spans) {
                return spans;
            }
            let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
            assert!(Instant::now() < end, "the spans do not come: {names:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Answers the requests of one connection.
async fn serve(stream: TcpStream, spans: Arc<Mutex<Vec<Span>>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                let header = line.to_ascii_lowercase();
                let value = header.strip_prefix("content-length:").map(str::trim);
                length = value.map_or(length, |value| value.parse().expect("a length is a number"));
            } else {
                return;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.expect("a body is as long as it says");
        let sent = ExportTraceServiceRequest::decode(&*body).expect("it is OTLP");
        let spans_of = sent.resource_spans.into_iter().flat_map(|one| one.scope_spans);
        spans.lock().expect("no test failed here").extend(spans_of.flat_map(|one| one.spans).map(read));
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

fn read(span: opentelemetry_proto::tonic::trace::v1::Span) -> Span {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    let attributes = span.attributes.into_iter();
    Span {
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        attributes: attributes.map(|one| (one.key, text(one.value.and_then(|value| value.value)))).collect(),
    }
}
