//! The domain behind the server's edge: who a token belongs to, and whether the database answers.

use std::sync::Arc;

use axum::Router;
use domain::Domain;
use domain::access::Actor;
use domain::error::Result;
use domain::store::conn::Pool;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::server::auth::{Authenticate, RequestOrigin};
use crate::server::health::Ready;

/// The tokens that the domain knows, and the ways to them.
pub struct DomainTokens(pub Domain);

impl Authenticate for DomainTokens {
    fn authenticate<'a>(&'a self, bearer: &'a str, origin: RequestOrigin) -> BoxFuture<'a, Result<Actor>> {
        async move {
            let address = origin.address.map(|address| address.to_string());
            self.0.authenticate(bearer, address, Some(origin.trace.to_string())).await
        }
        .boxed()
    }

    fn routes(&self) -> Router {
        crate::sign_in::routes(self.0.clone())
    }

    fn standing<'a>(&'a self, actors: &'a [Arc<Actor>]) -> BoxFuture<'a, Result<Vec<bool>>> {
        self.0.standing(actors).boxed()
    }
}

/// Ready while the database answers.
pub struct DomainReady(pub Domain);

impl Ready for DomainReady {
    fn check(&self) -> BoxFuture<'_, Result<()>> {
        async move { self.0.db().ping().await }.boxed()
    }

    fn measure(&self) {
        for Pool { name, used, idle, most } in self.0.db().pools() {
            for (state, count) in [("used", used), ("idle", idle), ("most", most)] {
                metrics::gauge!("countersign_db_connections", "pool" => name, "state" => state).set(count);
            }
        }
    }
}
