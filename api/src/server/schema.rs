//! The schema as the server knows it.

use std::sync::Arc;

use async_graphql::{Data, Executor, Request, Response};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

/// A schema, whatever its types. Clones are the same schema.
///
/// What runs a request is a future as deep as the schema, and whoever is generic over it is compiled
/// anew wherever a server is made. Its types end here, so that the server is compiled once.
#[derive(Clone)]
pub struct AnySchema(Arc<dyn Execute>);

trait Execute: Send + Sync {
    fn execute(&self, request: Request) -> BoxFuture<'_, Response>;

    fn execute_stream(&self, request: Request) -> BoxStream<'static, Response>;
}

impl<E: Executor> Execute for E {
    fn execute(&self, request: Request) -> BoxFuture<'_, Response> {
        Executor::execute(self, request).boxed()
    }

    fn execute_stream(&self, request: Request) -> BoxStream<'static, Response> {
        Executor::execute_stream(self, request, None::<Arc<Data>>)
    }
}

impl AnySchema {
    pub fn new(schema: impl Executor) -> Self {
        Self(Arc::new(schema))
    }

    /// The answer to a query or a mutation.
    pub async fn execute(&self, request: Request) -> Response {
        self.0.execute(request).await
    }

    /// The answers to a subscription.
    pub fn execute_stream(&self, request: Request) -> BoxStream<'static, Response> {
        self.0.execute_stream(request)
    }
}
