//! Ways to a server: GraphQL over HTTP, files, and sockets that speak graphql-transport-ws.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::auth::{DomainReady, DomainTokens};
use api::files::DomainFiles;
use api::server::auth::Authenticate;
use api::server::settings::Settings;
use api::server::{GRAPHQL, Parts, Server};
use domain::Domain;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use crate::{Person, World};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Somebody's way to a server on the loopback.
#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    token: Option<String>,
    http: reqwest::Client,
    serving: Option<Arc<Serving>>,
}

/// A server that ends with the last way to it.
struct Serving(CancellationToken);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What a server answered to a request: the status, and the body as it came.
pub type Reply = (u16, String);

impl Wire {
    /// Serves `world` for `person`, as in development.
    pub async fn of(world: &World, person: &Person) -> Self {
        let settings = Settings { development: true, ..Settings::default() };
        Self::serve(&world.domain, settings).await.with(&person.token)
    }

    /// Serves `domain`, for nobody yet.
    pub async fn serve(domain: &Domain, settings: Settings) -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::serve_at(anywhere, domain, Arc::new(DomainTokens(domain.clone())), settings).await
    }

    /// Serves `domain` at this address, to whom `authenticate` knows.
    pub async fn serve_at(
        address: SocketAddr,
        domain: &Domain,
        authenticate: Arc<dyn Authenticate>,
        settings: Settings,
    ) -> Self {
        let stopping = CancellationToken::new();
        let server = Server::new(Parts {
            schema: api::graphql::served(domain.clone(), &settings),
            authenticate,
            files: Arc::new(DomainFiles(domain.clone())),
            ready: Arc::new(DomainReady(domain.clone())),
            metrics: None,
            clock: domain.clock().clone(),
            settings,
            stopping: stopping.clone(),
        });
        let listener = TcpListener::bind(address).await.expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move { server.serve(listener).await });
        Self { serving: Some(Arc::new(Serving(stopping))), ..Self::to(address) }
    }

    /// Where the server is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Tells the server to stop, whoever else still has a way to it.
    pub fn stop(&self) {
        if let Some(serving) = &self.serving {
            serving.0.cancel();
        }
    }

    /// The way to a server that somebody else runs.
    pub fn to(address: SocketAddr) -> Self {
        domain::gateway::http::ready();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().expect("a client is made");
        Self { address, token: None, http, serving: None }
    }

    /// Where GraphQL is served.
    pub fn url(&self) -> String {
        format!("http://{}{GRAPHQL}", self.address)
    }

    /// The same way for who holds this token.
    pub fn with(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same way for who holds none.
    pub fn nobody(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// A request in the holder's name.
    pub fn asking(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// A `POST` of this body to GraphQL.
    pub async fn post(&self, body: String) -> Reply {
        let request = self.asking(reqwest::Method::POST, GRAPHQL);
        reply(request.header("content-type", "application/json").body(body))
            .await
            .expect("the server answers")
    }

    /// The reply to an operation.
    pub async fn reply(&self, query: &str, variables: &Json) -> Reply {
        self.post(json!({ "query": query, "variables": variables }).to_string()).await
    }

    /// The whole answer to a request.
    pub async fn answer(&self, query: &str, variables: Json) -> Json {
        let (_, body) = self.reply(query, &variables).await;
        serde_json::from_str(&body).expect("an answer is JSON")
    }

    /// The data of a request that has no errors.
    pub async fn ask(&self, query: &str, variables: Json) -> Json {
        let mut answer = self.answer(query, variables).await;
        assert_eq!(answer["errors"], Json::Null, "{query}");
        answer["data"].take()
    }

    /// What a mutation answers, refused or not.
    pub async fn try_do(&self, query: &str, variables: Json) -> Json {
        let data = self.ask(query, variables).await;
        data.as_object().and_then(|data| data.values().next()).cloned().unwrap_or_default()
    }

    /// What a mutation answers that refuses nothing.
    pub async fn done(&self, query: &str, variables: Json) -> Json {
        let payload = self.try_do(query, variables).await;
        assert_eq!(payload["userErrors"], json!([]), "{query}");
        payload
    }

    /// Uploads a file to a path that the server gave.
    pub async fn put(&self, path: &str, body: String) {
        let (status, body) = self.try_put(path, body).await.expect("the server answers");
        assert_eq!(status, 202, "{body}");
    }

    /// Tries to upload a file; `None` where the server goes away meanwhile.
    pub async fn try_put(&self, path: &str, body: String) -> Option<Reply> {
        reply(self.asking(reqwest::Method::PUT, path).body(body)).await
    }

    /// A `GET` like a browser's, one step at a time.
    pub async fn hop(&self, path: &str, cookie: Option<&str>) -> Hop {
        let policy = reqwest::redirect::Policy::none();
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).redirect(policy);
        let http = http.build().expect("a client is made");
        let mut request = http.get(format!("http://{}{path}", self.address));
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let response = request.send().await.expect("the server answers");
        let told = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let (location, cookie) = (told("location"), told("set-cookie"));
        let status = response.status().as_u16();
        let body = response.text().await.expect("the server answers to the end");
        Hop { status, location, cookie, body }
    }

    /// A `POST` of JSON to a path: the status, and the answer's JSON if it has any.
    pub async fn send(&self, path: &str, body: &Json) -> (u16, Json) {
        let request = self.asking(reqwest::Method::POST, path).header("user-agent", "probe/1");
        let request = request.header("content-type", "application/json").body(body.to_string());
        let (status, body) = reply(request).await.expect("the server answers");
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.try_get(path).await.expect("the server answers")
    }

    /// Tries to get; `None` where there is no server.
    pub async fn try_get(&self, path: &str) -> Option<Reply> {
        reply(self.asking(reqwest::Method::GET, path)).await
    }

    /// An open socket on which nothing was said.
    pub async fn socket(&self) -> Socket {
        let mut request =
            format!("ws://{}{GRAPHQL}", self.address).into_client_request().expect("this is a request");
        let protocol = "graphql-transport-ws".parse().expect("this is a header");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (socket, _) = connect_async(request).await.expect("the server opens sockets");
        Socket(socket)
    }

    /// A socket of the token's holder.
    pub async fn greeted(&self) -> Socket {
        let mut socket = self.socket().await;
        let token = self.token.as_deref().unwrap_or_default();
        let init =
            json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {token}") } });
        socket.say(&init).await;
        assert_eq!(socket.hear().await, Heard::Said(json!({ "type": "connection_ack" })));
        socket
    }

    /// A subscription on a socket of its own.
    pub async fn subscribe(&self, query: &str, variables: Json) -> Socket {
        let mut socket = self.greeted().await;
        socket.subscribe(query, variables).await;
        socket
    }

    /// Everything that a subscription sends until it completes.
    pub async fn watch(&self, query: &str, variables: Json) -> Vec<Json> {
        let mut socket = self.subscribe(query, variables).await;
        let mut items = Vec::new();
        while let Some(item) = socket.item().await {
            items.push(item);
        }
        items
    }
}

/// The reply to a request; `None` where there was nobody to give it, or not all of it.
async fn reply(request: reqwest::RequestBuilder) -> Option<Reply> {
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.text().await.ok()?))
}

/// What a browser is told at one step.
pub struct Hop {
    pub status: u16,
    pub location: Option<String>,
    pub cookie: Option<String>,
    pub body: String,
}

/// A WebSocket of a client.
pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What comes from the other end of a socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    Said(Json),
    /// It was closed, with this code where it said one.
    Closed(Option<u16>),
}

impl Socket {
    pub async fn say(&mut self, message: &Json) {
        self.0.send(Message::text(message.to_string())).await.expect("the socket is open");
    }

    /// Says what the other end may not want to hear to its end.
    pub async fn try_say(&mut self, message: String) {
        // A refusal is heard, not told here.
        let _ = self.0.send(Message::text(message)).await;
    }

    pub async fn subscribe(&mut self, query: &str, variables: Json) {
        let payload = json!({ "query": query, "variables": variables });
        self.say(&json!({ "type": "subscribe", "id": "1", "payload": payload })).await;
    }

    /// The next message, or the end. A socket that breaks has ended.
    pub async fn hear(&mut self) -> Heard {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await.expect("the server goes on");
            match message {
                Some(Ok(Message::Text(text))) => {
                    let message: Json = serde_json::from_str(&text).expect("messages are JSON");
                    // Whether anybody is there is answered below of this.
                    if message["type"] != "ping" {
                        return Heard::Said(message);
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    return Heard::Closed(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::Closed(None),
            }
        }
    }

    /// The next item of the subscription, or `None` at its end.
    pub async fn item(&mut self) -> Option<Json> {
        match self.try_item().await {
            Ok(item) => item,
            Err(heard) => panic!("{heard:?}"),
        }
    }

    /// The same, where it may be refused and the socket may break.
    pub async fn try_item(&mut self) -> Result<Option<Json>, Heard> {
        let heard = self.hear().await;
        let Heard::Said(message) = &heard else { return Err(heard) };
        match message["type"].as_str() {
            Some("next") if message["payload"]["errors"].is_null() => {
                Ok(Some(message["payload"]["data"].clone()))
            }
            Some("complete") => Ok(None),
            _ => Err(heard),
        }
    }
}
