//! A schema with everything that the edge has to bear.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_graphql::{Context, Json, Object, Result, Schema, Subscription};
use domain::access::Actor;
use domain::error::{Code, Error};
use futures_util::{Stream, StreamExt, stream};

use crate::server::schema::AnySchema;

/// What happens inside, for tests to look at.
#[derive(Clone, Default)]
pub struct Inside {
    /// Subscriptions whose stream is alive.
    pub streams: Arc<AtomicUsize>,
    /// Mutations that ran.
    pub bumps: Arc<AtomicUsize>,
}

pub fn schema(inside: Inside) -> AnySchema {
    AnySchema::new(Schema::build(Query, Mutation, Events).data(inside).finish())
}

pub struct Query;

#[Object]
impl Query {
    async fn hello(&self) -> &str {
        "world"
    }

    /// The name of the one who asks.
    async fn me(&self, ctx: &Context<'_>) -> Result<String> {
        Ok(ctx.data::<Actor>()?.name.clone())
    }

    /// The address that the request came from, as the audit would keep it.
    async fn address(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        Ok(ctx.data::<Actor>()?.address.clone())
    }

    async fn echo(&self, value: Json<serde_json::Value>) -> Json<serde_json::Value> {
        value
    }

    async fn itself(&self) -> Query {
        Query
    }

    async fn page(&self, first: Option<i32>) -> Vec<Query> {
        (0..first.unwrap_or(1)).map(|_| Query).collect()
    }

    async fn boom(&self) -> Option<i32> {
        explode()
    }

    async fn fault(&self) -> Result<Option<i32>> {
        Err(Error::internal("a secret"))?
    }

    async fn conflict(&self) -> Result<Option<i32>> {
        Err(Error::new(Code::Conflict, "Changed meanwhile.").with("version", 7))?
    }

    /// Never answers.
    async fn forever(&self) -> Option<i32> {
        std::future::pending().await
    }
}

fn explode() -> Option<i32> {
    panic!("boom, and a secret")
}

pub struct Mutation;

#[Object]
impl Mutation {
    async fn bump(&self, ctx: &Context<'_>) -> Result<usize> {
        Ok(ctx.data::<Inside>()?.bumps.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

pub struct Events;

/// Counts itself among the living.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn alive<T>(ctx: &Context<'_>, items: impl Stream<Item = T>) -> Result<impl Stream<Item = T>> {
    let streams = ctx.data::<Inside>()?.streams.clone();
    streams.fetch_add(1, Ordering::SeqCst);
    let alive = Alive(streams);
    Ok(items.inspect(move |_| {
        let _ = &alive;
    }))
}

#[Subscription]
impl Events {
    async fn count(&self, ctx: &Context<'_>, to: i32) -> Result<impl Stream<Item = i32>> {
        alive(ctx, stream::iter(1..=to))
    }

    /// Opens and says nothing.
    async fn silence(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = i32>> {
        alive(ctx, stream::pending())
    }

    /// As much as a reader will take.
    async fn flood(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = String>> {
        alive(ctx, stream::repeat("x".repeat(64 << 10)))
    }

    /// One value, then a panic.
    async fn trap(&self) -> impl Stream<Item = i32> {
        stream::iter(0..).map(|i| if i == 0 { i } else { panic!("trapped, and a secret") })
    }

    async fn refused(&self) -> Result<impl Stream<Item = i32>> {
        let refused: Result<stream::Empty<i32>, Error> = Err(Error::new(Code::Forbidden, "Not for you."));
        Ok(refused?)
    }
}
